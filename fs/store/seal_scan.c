#include "fs/store/seal_scan.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/links.h"

enum { DEPTH_MAX = 200, WRITER_POLL_MS = 20 };

void seal_clear(struct seal *seal)
{
    for (size_t i = 0; i < seal->entries.count; i++) {
        free(seal->entries.items[i].path);
        free(seal->entries.items[i].target);
    }
    seal->entries.count = 0;
}

char *seal_path_in(const char *directory, const char *name)
{
    return text_format("%s%s%s", directory, directory[0] ? "/" : "", name);
}

int seal_log_left(int error, const char *path, const char *what)
{
    return log_fail(error, "builder left %s: %s", path, what);
}

bool seal_has_writer(int fd)
{
    /* By default SIGIO, which a broken lease sends, ends the process; SIGURG is ignored. */
    (void)fcntl(fd, F_SETSIG, SIGURG);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

int seal_open_entry(const struct seal *seal, const char *path)
{
    return dir_open_beneath(seal->files_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

struct level {
    struct seal *seal;
    const char *path; /* "" for the tree's root */
    unsigned depth;
};

/* Takes ownership of the path and the target, even on failure. */
static int add_entry(struct seal *seal, struct manifest_entry entry)
{
    int r = vector_push(&seal->entries, entry);
    if (r < 0) {
        free(entry.path);
        free(entry.target);
    }
    return r;
}

int seal_compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct manifest_entry *)a)->path,
                  ((const struct manifest_entry *)b)->path);
}

/* Sealing needs these permissions whatever modes the builder set; the manifest records those. */
static int grant(int dirfd, const char *name, mode_t mode, mode_t needed)
{
    if ((mode & needed) == needed)
        return 0;
    return fchmodat(dirfd, name, (mode & 07777) | needed, 0) < 0 ? -errno : 0;
}

static bool has_changed(int fd, const struct stat *before)
{
    struct stat now;
    return fstat(fd, &now) < 0 || now.st_size != before->st_size ||
           now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

/*
 * Gives the template a copy of its own of a file that has a second name, which may be outside the
 * tree, or that another user owns.
 */
static int replace_by_copy(int dirfd, const char *name, mode_t mode)
{
    AUTO_FREE char *beside = NULL;
    struct stat before;
    AUTO_FD int from = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
    if (from < 0)
        return from;
    if (fstat(from, &before) < 0)
        return -errno;
    AUTO_FD int to = dir_create_beside(dirfd, name, SEAL_MARK, 0600, &beside);
    if (to < 0)
        return to;
    int r = io_copy_file(from, to);
    /* A lease (seal_has_writer()) is not granted on another user's file. */
    if (r == 0 && has_changed(from, &before))
        r = -EBUSY;
    if (r == 0)
        r = io_fchmod(to, mode & 07777);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    return r;
}

static int log_foreign(const char *path, const struct stat *status, int error)
{
    return log_fail(error,
                    "builder left %s, which belongs to user %u and cannot be used by you (%u): let "
                    "the builder run as you (docker run --user %u:%u), or end with: chown -R %u:%u "
                    "{dir}",
                    path, status->st_uid, geteuid(), geteuid(), getegid(), geteuid(), getegid());
}

static bool is_foreign(const struct stat *status)
{
    return status->st_uid != geteuid();
}

static int log_link_out(const char *path, const char *target)
{
    return log_fail(EINVAL,
                    "builder left %s -> %s: a symbolic link that leads out of the template; let "
                    "it copy the file instead",
                    path, target);
}

static int replace_link(int dirfd, const char *name, const char *target)
{
    int r;
    do {
        AUTO_FREE char *beside = NULL;
        r = dir_name_beside(name, SEAL_MARK, &beside);
        if (r == 0)
            r = io_symlinkat(target, dirfd, beside);
        if (r == 0)
            r = io_renameat(dirfd, beside, dirfd, name);
    } while (r == -EEXIST);
    return r;
}

/*
 * Replaces an absolute link into the tree, whose path is about to change, by a relative one.
 * `target` has room for PATH_MAX bytes. 1: replaced; 0: not such a link.
 */
static int make_relative(const struct seal *seal, int dirfd, const char *name, const char *path,
                         char *target)
{
    size_t length = strlen(seal->path);
    if (strncmp(target, seal->path, length) != 0 || (target[length] && target[length] != '/'))
        return 0;
    AUTO_FREE char *relative = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&relative, &size);
    if (!stream)
        return -ENOMEM;
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++)
        (void)fputs("../", stream);
    const char *rest = target + length + strspn(target + length, "/");
    (void)fputs(*rest ? rest : ".", stream);
    if (fclose(stream) != 0)
        return -ENOMEM;
    if (size >= PATH_MAX)
        return 0;
    int r = replace_link(dirfd, name, relative);
    if (r < 0)
        return r;
    memcpy(target, relative, size + 1);
    return 1;
}

static int take_link(struct seal *seal, int dirfd, const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(dirfd, name, target, sizeof(target));
    if (length < 0)
        return log_errno(errno, "sealing %s", path);
    if ((size_t)length == sizeof(target))
        return seal_log_left(EINVAL, path, "a symbolic link that is too long");
    target[length] = '\0';
    int r = make_relative(seal, dirfd, name, path, target);
    if (r < 0)
        return log_errno(r, "sealing %s", path);
    if (!manifest_link_is_inside(path, target))
        return log_link_out(path, target);
    struct manifest_entry entry = {
        .path = strdup(path), .type = ENTRY_SYMLINK, .mode = 0777, .target = strdup(target)};
    if (!entry.path || !entry.target) {
        free(entry.path);
        free(entry.target);
        return -ENOMEM;
    }
    return add_entry(seal, entry);
}

static int scan_directory(struct seal *seal, int dirfd, const char *path, unsigned depth);

static int take_directory(struct level *level, int dirfd, const char *name, const char *path,
                          const struct stat *status)
{
    struct manifest_entry entry = {
        .path = strdup(path), .type = ENTRY_DIRECTORY, .mode = status->st_mode & 0777};
    int r = entry.path ? add_entry(level->seal, entry) : -ENOMEM;
    /* Only its owner and root could ever remove its files. */
    if (r == 0 && is_foreign(status) && geteuid() != 0)
        return log_foreign(path, status, EPERM);
    if (r == 0)
        r = grant(dirfd, name, status->st_mode, 0700);
    if (r < 0)
        return log_errno(r, "sealing %s", path);
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return log_errno(fd, "sealing %s", path);
    return scan_directory(level->seal, fd, path, level->depth + 1);
}

static int take_file(struct seal *seal, int dirfd, const char *name, const char *path,
                     const struct stat *status)
{
    /* Copied before the mode is changed, since that would change it under the other name too. */
    int r = 0;
    if (status->st_nlink > 1 || (is_foreign(status) && geteuid() != 0))
        r = replace_by_copy(dirfd, name, status->st_mode);
    if (r == 0)
        r = grant(dirfd, name, status->st_mode, 0600);
    /* In a user namespace root cannot change files of users that are not mapped. */
    if (r == -EPERM && is_foreign(status))
        r = replace_by_copy(dirfd, name, status->st_mode | 0600);
    if ((r == -EACCES || r == -EPERM) && is_foreign(status))
        return log_foreign(path, status, r);
    if (r == -EBUSY)
        return seal_log_left(r, path,
                             "it still changes; the builder must end every process that it starts");
    if (r < 0)
        return log_errno(r, "sealing %s", path);
    struct manifest_entry entry = {
        .path = strdup(path), .type = ENTRY_FILE, .mode = status->st_mode & 0777};
    return entry.path ? add_entry(seal, entry) : -ENOMEM;
}

static int log_mounted(const char *shown, const char *slash, const char *below)
{
    return log_fail(EINVAL,
                    "builder left %s mounted: a template cannot hold what another file system "
                    "stores; let the builder copy the files, and end with: umount {dir}%s%s",
                    shown, slash, below);
}

/* Files of another mount must not be changed, and after an unmount the template would lack them. */
static int refuse_mount(int dirfd, const char *name, const char *path)
{
    int r = dir_is_on_another_mount(dirfd, name);
    if (r == -ENOENT)
        return seal_log_left(
            EBUSY, path,
            "it was removed while the template was sealed: a process of the builder still runs");
    if (r < 0)
        return log_errno(r, "sealing %s", path);
    return r ? log_mounted(path, "/", path) : 0;
}

static int scan_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct level *level = context;
    AUTO_FREE char *path = seal_path_in(level->path, name);
    if (!path)
        return -ENOMEM;
    if (!manifest_path_is_valid(path))
        return seal_log_left(EINVAL, path, "the path is too long");
    int r = refuse_mount(dirfd, name, path);
    if (r < 0)
        return r;
    struct stat status;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return log_errno(errno, "sealing %s", path);
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return take_file(level->seal, dirfd, name, path, &status);
    case S_IFDIR:
        return take_directory(level, dirfd, name, path, &status);
    case S_IFLNK:
        return take_link(level->seal, dirfd, name, path);
    case S_IFSOCK:
        return seal_log_left(EINVAL, path, "a socket, which a template cannot hold");
    case S_IFIFO:
        return seal_log_left(EINVAL, path, "a named pipe, which a template cannot hold");
    default:
        return seal_log_left(EINVAL, path, "a device, which a template cannot hold");
    }
}

/* All names are read before anything in the directory is replaced. */
static int collect_name(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *names)
{
    return strlist_add(names, name);
}

static int scan_directory(struct seal *seal, int dirfd, const char *path, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return seal_log_left(EINVAL, path, "directories are nested too deep");
    AUTO_STRLIST struct strlist names = STRLIST_INIT;
    struct level level = {.seal = seal, .path = path, .depth = depth};
    int r = dir_each(dirfd, collect_name, &names);
    if (r < 0)
        return log_errno(r, "sealing %s", path[0] ? path : seal->path);
    for (size_t i = 0; r == 0 && i < names.count; i++)
        r = scan_entry(dirfd, names.items[i], DT_UNKNOWN, &level);
    return r;
}

/* 1: a writer has closed the file meanwhile; 0: there was none. -EBUSY, logged: it still has
 * not. */
static int await_writer(struct seal *seal, const char *path)
{
    AUTO_FD int fd = seal_open_entry(seal, path);
    if (fd == -ENOENT)
        return 1;
    if (fd < 0)
        return log_errno(fd, "sealing %s", path);
    bool waited = false;
    for (; seal_has_writer(fd); waited = true) {
        if (interrupt_pending())
            return -EINTR;
        if (seal->wait_ms <= 0)
            return seal_log_left(EBUSY, path,
                                 "a process still has it open for writing; the builder "
                                 "must end every process that it starts");
        struct timespec pause = {.tv_nsec = WRITER_POLL_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        seal->wait_ms -= WRITER_POLL_MS;
    }
    return waited;
}

/* 1: the tree may have changed since it was scanned; 0: it has not. */
static int await_writers(struct seal *seal)
{
    int changed = 0;
    for (size_t i = 0; i < seal->entries.count; i++) {
        if (seal->entries.items[i].type != ENTRY_FILE)
            continue;
        int r = await_writer(seal, seal->entries.items[i].path);
        if (r < 0)
            return r;
        changed |= r;
    }
    return changed;
}

static int scan_once(struct seal *seal)
{
    struct stat status;
    seal_clear(seal);
    int r = dir_is_on_another_mount(seal->files_fd, seal->path);
    if (r > 0)
        return log_mounted(seal->path, "", "");
    if (r == 0 && fstat(seal->files_fd, &status) < 0)
        r = -errno;
    if (r == 0 && (status.st_mode & 0700) != 0700)
        r = io_fchmod(seal->files_fd, 0700);
    if (r < 0)
        return log_errno(r, "sealing %s", seal->path);
    r = scan_directory(seal, seal->files_fd, "", 0);
    return r < 0 ? r : await_writers(seal);
}

int seal_scan(struct seal *seal)
{
    bool is_empty = true;
    int r;
    do
        r = scan_once(seal);
    while (r > 0);
    if (r < 0)
        return r;
    for (size_t i = 0; i < seal->entries.count; i++)
        is_empty &= seal->entries.items[i].type == ENTRY_DIRECTORY;
    if (is_empty)
        return log_fail(ENODATA,
                        "builder left nothing in %s; it may have migrated another "
                        "database: check DATABASE_URL, or sqlalchemy.url in alembic.ini",
                        seal->path);
    qsort(seal->entries.items, seal->entries.count, sizeof(*seal->entries.items),
          seal_compare_entries);
    const struct manifest scanned = {.entries = seal->entries.items,
                                     .entry_count = seal->entries.count};
    const struct manifest_entry *escaping = links_find_escape(&scanned);
    if (escaping)
        return log_link_out(escaping->path, escaping->target);
    /* If `file` is a symbolic link, its target is the database. */
    const struct manifest_entry *file = links_resolve(&scanned, seal->file);
    if (file)
        seal->file = file->path;
    return 0;
}
