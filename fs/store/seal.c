/*
 * Three passes over the tree, each by descriptor: what is there (types, hard links, writers); the
 * databases (which makes and removes side files); then digest and mode of what is left, which is
 * synced in the end.
 *
 * Nothing of the builder writes any more once the first pass is over, or what the second checks
 * would not be what the third hashes: a writer is waited for, and the tree is looked at anew.
 */
#include "fs/store/seal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/base/sync.h"
#include "fs/store/links.h"
#include "fs/store/seal_databases.h"

enum { DEPTH_MAX = 200, WRITER_PATIENCE_MS = 2000, WRITER_LOOK_MS = 20 };

struct seal {
    int files_fd;
    const char *path;
    const char *file;
    struct manifest_entry *entries;
    size_t count;
    size_t capacity;
    struct strlist warnings;
    int patience_ms; /* left for writers, of all files together */
};

struct level {
    struct seal *seal;
    const char *path; /* "" for the tree's root */
    unsigned depth;
};

static void forget_entries(struct seal *seal)
{
    for (size_t i = 0; i < seal->count; i++) {
        free(seal->entries[i].path);
        free(seal->entries[i].target);
    }
    seal->count = 0;
}

static void seal_fini(struct seal *seal)
{
    forget_entries(seal);
    free(seal->entries);
    strlist_fini(&seal->warnings);
}

/* Below the tree's root; the caller's. NULL without memory. */
static char *path_in(const struct level *level, const char *name)
{
    char *path;
    return asprintf(&path, "%s%s%s", level->path, level->path[0] ? "/" : "", name) < 0 ? NULL
                                                                                       : path;
}

static int log_left(int error, const char *path, const char *what)
{
    return log_fail(error, "builder left %s: %s", path, what);
}

/* Takes over path and target. */
static int add_entry(struct seal *seal, struct manifest_entry entry)
{
    if (seal->count == seal->capacity) {
        size_t capacity = seal->capacity ? 2 * seal->capacity : 16;
        struct manifest_entry *entries = reallocarray(seal->entries, capacity, sizeof(*entries));
        if (!entries) {
            free(entry.path);
            free(entry.target);
            return -ENOMEM;
        }
        seal->entries = entries;
        seal->capacity = capacity;
    }
    seal->entries[seal->count++] = entry;
    return 0;
}

/* ---- first pass ---- */

/* The owner must be able to work here, whatever the builder's modes say; the manifest keeps those.
 */
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
 * The template gets a copy of its own: of a file that has another name elsewhere, which stays as it
 * is, and of one that belongs to another user.
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
    /* Whether another user's process still writes cannot be asked by a lease. */
    if (r == 0 && has_changed(from, &before))
        r = -EBUSY;
    if (r == 0)
        r = io_fchmod(to, mode & 07777);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    return r;
}

/* Why something that another user's process left cannot be sealed, and the way out. */
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
 * An absolute link to something below the tree, whose path is that of the builder's work, becomes a
 * relative one. `target` has room for PATH_MAX bytes. 1: it did; 0: it is no such link.
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
        return log_left(EINVAL, path, "a symbolic link that is too long");
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
    /* Nobody else than its owner, or root, could ever remove it. */
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
    /* Copied before the mode is touched: it is the other name's mode, too. */
    int r = 0;
    if (status->st_nlink > 1 || (is_foreign(status) && geteuid() != 0))
        r = replace_by_copy(dirfd, name, status->st_mode);
    if (r == 0)
        r = grant(dirfd, name, status->st_mode, 0600);
    /* Root of a container may change nothing of users that it does not know. */
    if (r == -EPERM && is_foreign(status))
        r = replace_by_copy(dirfd, name, status->st_mode | 0600);
    if ((r == -EACCES || r == -EPERM) && is_foreign(status))
        return log_foreign(path, status, r);
    if (r == -EBUSY)
        return log_left(r, path, "it still changes; the builder must end all that it starts");
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

/* What is mounted in the tree is not the builder's work: modes and side files there stay as they
 * are, and after an unmount the template would lack it. */
static int refuse_mount(int dirfd, const char *name, const char *path)
{
    int r = dir_is_on_another_mount(dirfd, name);
    if (r == -ENOENT)
        return log_left(EBUSY, path, "it vanished again: a process of the builder still runs");
    if (r < 0)
        return log_errno(r, "sealing %s", path);
    return r ? log_mounted(path, "/", path) : 0;
}

static int scan_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct level *level = context;
    AUTO_FREE char *path = path_in(level, name);
    if (!path)
        return -ENOMEM;
    if (!manifest_path_is_valid(path))
        return log_left(EINVAL, path, "the path is too long");
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
        return log_left(EINVAL, path, "a socket, which a template cannot hold");
    case S_IFIFO:
        return log_left(EINVAL, path, "a named pipe, which a template cannot hold");
    default:
        return log_left(EINVAL, path, "a device, which a template cannot hold");
    }
}

/* The names are read whole before anything in the directory is replaced. */
static int collect_name(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *names)
{
    return strlist_add(names, name);
}

static int scan_directory(struct seal *seal, int dirfd, const char *path, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return log_left(EINVAL, path, "directories are nested too deep");
    AUTO_STRLIST struct strlist names = STRLIST_INIT;
    struct level level = {.seal = seal, .path = path, .depth = depth};
    int r = dir_each(dirfd, collect_name, &names);
    if (r < 0)
        return log_errno(r, "sealing %s", path[0] ? path : seal->path);
    for (size_t i = 0; r == 0 && i < names.count; i++)
        r = scan_entry(dirfd, names.items[i], DT_UNKNOWN, &level);
    return r;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct manifest_entry *)a)->path,
                  ((const struct manifest_entry *)b)->path);
}

/*
 * Whether a process still has the file open for writing. A read lease is granted only where nobody
 * has; file systems without leases are taken as they are.
 */
static bool has_writer(int fd)
{
    /* What breaks a lease sends SIGIO, whose default is death; SIGURG's is nothing. */
    (void)fcntl(fd, F_SETSIG, SIGURG);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

static int open_entry(const struct seal *seal, const char *path)
{
    return dir_open_beneath(seal->files_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/* 1: there was a writer, who is gone; 0: there was none. One that stays is refused. */
static int await_writer(struct seal *seal, const char *path)
{
    AUTO_FD int fd = open_entry(seal, path);
    if (fd == -ENOENT)
        return 1;
    if (fd < 0)
        return log_errno(fd, "sealing %s", path);
    bool waited = false;
    for (; has_writer(fd); waited = true) {
        if (interrupt_pending())
            return -EINTR;
        if (seal->patience_ms <= 0)
            return log_left(EBUSY, path,
                            "a process still has it open for writing; the builder "
                            "must end all that it starts");
        struct timespec pause = {.tv_nsec = WRITER_LOOK_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        seal->patience_ms -= WRITER_LOOK_MS;
    }
    return waited;
}

/* 1: the tree may have changed meanwhile; 0: it is as it was seen. */
static int await_writers(struct seal *seal)
{
    int changed = 0;
    for (size_t i = 0; i < seal->count; i++) {
        if (seal->entries[i].type != ENTRY_FILE)
            continue;
        int r = await_writer(seal, seal->entries[i].path);
        if (r < 0)
            return r;
        changed |= r;
    }
    return changed;
}

static int look_once(struct seal *seal)
{
    struct stat status;
    forget_entries(seal);
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

static int first_pass(struct seal *seal)
{
    bool is_empty = true;
    int r;
    do
        r = look_once(seal);
    while (r > 0);
    if (r < 0)
        return r;
    for (size_t i = 0; i < seal->count; i++)
        is_empty &= seal->entries[i].type == ENTRY_DIRECTORY;
    if (is_empty)
        return log_fail(ENODATA,
                        "builder left nothing in %s; it may have migrated another "
                        "database: check DATABASE_URL, or sqlalchemy.url in alembic.ini",
                        seal->path);
    qsort(seal->entries, seal->count, sizeof(*seal->entries), compare_entries);
    const struct manifest seen = {.entries = seal->entries, .entry_count = seal->count};
    const struct manifest_entry *out = links_find_escape(&seen);
    if (out)
        return log_link_out(out->path, out->target);
    /* Where it is a link, the file behind it counts. */
    const struct manifest_entry *file = links_resolve(&seen, seal->file);
    if (file)
        seal->file = file->path;
    return 0;
}

/* ---- second pass ---- */

/* A file that SQLite, or we, removed: its entry goes. */
static void drop_missing(struct seal *seal)
{
    size_t kept = 0;
    for (size_t i = 0; i < seal->count; i++) {
        struct stat status;
        if (fstatat(seal->files_fd, seal->entries[i].path, &status, AT_SYMLINK_NOFOLLOW) == 0) {
            seal->entries[kept++] = seal->entries[i];
        } else {
            free(seal->entries[i].path);
            free(seal->entries[i].target);
        }
    }
    seal->count = kept;
}

static int second_pass(struct seal *seal)
{
    const struct seal_found found = {.files_fd = seal->files_fd,
                                     .path = seal->path,
                                     .file = seal->file,
                                     .entries = seal->entries,
                                     .count = seal->count,
                                     .warnings = &seal->warnings};
    int r = seal_databases(&found);
    drop_missing(seal);
    return r;
}

/* ---- third pass ---- */

/* What was not there at the first pass has not been checked. */
static int check_known(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    const struct level *level = context;
    AUTO_FREE char *path = path_in(level, name);
    if (!path)
        return -ENOMEM;
    const struct manifest_entry wanted = {.path = path};
    if (bsearch(&wanted, level->seal->entries, level->seal->count, sizeof(wanted), compare_entries))
        return 0;
    return log_left(EBUSY, path,
                    "it appeared while the template was sealed: a process of the builder "
                    "still runs");
}

static int finish_file(const struct seal *seal, struct manifest_entry *entry)
{
    AUTO_FD int fd = open_entry(seal, entry->path);
    if (fd < 0)
        return log_errno(fd, "sealing %s", entry->path);
    struct stat status = {0};
    int r = sha256_of_fd(fd, entry->digest);
    if (r == 0)
        r = io_fchmod(fd, 0444);
    if (r == 0 && fstat(fd, &status) < 0)
        r = -errno;
    io_start_writeback(fd);
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    if (has_writer(fd))
        return log_left(EBUSY, entry->path,
                        "a process opened it for writing while the template was sealed; the "
                        "builder must end all that it starts");
    entry->size_bytes = (uint64_t)status.st_size;
    return 0;
}

/* `path`: "" for the tree's root. */
static int finish_directory(struct seal *seal, const char *path)
{
    struct level level = {.seal = seal, .path = path};
    AUTO_FD int fd =
        io_openat(seal->files_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int r = fd < 0 ? fd : io_fchmod(fd, TEMPLATE_DIRECTORY_MODE);
    if (r < 0)
        return log_errno(r, "sealing %s", path[0] ? path : seal->path);
    return dir_each(fd, check_known, &level);
}

/* Backwards: a directory comes after what is in it. */
static int finish_entries(struct seal *seal)
{
    for (size_t i = seal->count; i-- > 0;) {
        struct manifest_entry *entry = &seal->entries[i];
        int r = 0;
        if (interrupt_pending())
            return -EINTR;
        if (entry->type == ENTRY_FILE)
            r = finish_file(seal, entry);
        else if (entry->type == ENTRY_DIRECTORY)
            r = finish_directory(seal, entry->path);
        if (r < 0)
            return r;
    }
    return finish_directory(seal, "");
}

static int sync_entries(const struct seal *seal)
{
    AUTO_FREE const char **paths = calloc(seal->count + 1, sizeof(*paths));
    size_t count = 0;
    size_t failed = 0;
    if (!paths)
        return -ENOMEM;
    for (size_t i = 0; i < seal->count; i++)
        if (seal->entries[i].type != ENTRY_SYMLINK)
            paths[count++] = seal->entries[i].path;
    int r = sync_paths(seal->files_fd, paths, count, &failed);
    if (r < 0)
        return log_errno(r, "sealing %s", paths[failed]);
    r = io_fsync(seal->files_fd);
    return r < 0 ? log_errno(r, "sealing %s", seal->path) : 0;
}

int seal_tree(int files_fd, const char *path, const char *file, struct manifest *manifest)
{
    CLEANUP(seal_fini)
    struct seal seal = {.files_fd = files_fd,
                        .path = path,
                        .file = file,
                        .warnings = STRLIST_INIT,
                        .patience_ms = WRITER_PATIENCE_MS};
    int r = first_pass(&seal);
    if (r == 0)
        r = second_pass(&seal);
    if (r == 0)
        r = finish_entries(&seal);
    if (r == 0)
        r = sync_entries(&seal);
    if (r == -ENOMEM)
        return log_errno(r, "sealing %s", path);
    if (r < 0)
        return r;
    manifest->entries = seal.entries;
    manifest->entry_count = seal.count;
    manifest->warnings = seal.warnings.items;
    seal.entries = NULL;
    seal.count = 0;
    seal.warnings = (struct strlist)STRLIST_INIT;
    return 0;
}
