#include "fs/base/dir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "fs/base/text.h"

/* Whether the path could lead out of the directory where it begins. */
static bool leads_up(const char *path)
{
    if (path[0] == '/')
        return true;
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return true;
        part += length;
    }
    return false;
}

/* openat2(2) reports a symbolic link as ELOOP; openat(2) with O_DIRECTORY as ENOTDIR. */
static int step_error(int dirfd, const char *part, int error)
{
    struct stat status;
    if (error == -ENOTDIR && fstatat(dirfd, part, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(status.st_mode))
        return -ELOOP;
    return error;
}

/* For kernels and containers that refuse openat2(2): one component at a time. */
static int open_by_steps(int dirfd, const char *path, int flags)
{
    AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    AUTO_FD int at = -1;
    char *rest = NULL;
    char *part = strtok_r(copy, "/", &rest);
    if (!part)
        return -ENOENT;
    for (;;) {
        char *next = strtok_r(NULL, "/", &rest);
        int step_flags = next ? O_PATH | O_DIRECTORY | O_NOFOLLOW : flags | O_NOFOLLOW;
        int from = at >= 0 ? at : dirfd;
        int fd = io_openat(from, part, step_flags, 0);
        if (fd < 0)
            return step_error(from, part, fd);
        if (!next)
            return fd;
        if (at >= 0)
            (void)close(at);
        at = fd;
        part = next;
    }
}

int dir_open_beneath(int dirfd, const char *path, int flags)
{
    if (leads_up(path))
        return -EXDEV;
    int fd = io_openat2(dirfd, path, flags,
                        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN)
        return open_by_steps(dirfd, path, flags);
    return fd;
}

int dir_ensure(int dirfd, const char *name, mode_t mode)
{
    int r = io_mkdirat(dirfd, name, mode);
    if (r < 0 && r != -EEXIST)
        return r;
    return io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

int dir_make_parents(const char *path, mode_t mode)
{
    AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *slash = copy + 1; *slash; slash++) {
        if (*slash != '/')
            continue;
        *slash = '\0';
        int r = io_mkdirat(AT_FDCWD, copy, mode);
        *slash = '/';
        if (r < 0 && r != -EEXIST && r != -EROFS && r != -EACCES)
            return r;
    }
    int r = io_mkdirat(AT_FDCWD, copy, mode);
    return r == -EEXIST ? 0 : r;
}

/* Deeper directories are first moved to the top of the tree, which bounds the open descriptors. */
enum { REMOVAL_DEPTH = 32 };

struct removal {
    struct statx mount; /* the mount on which the removal began */
    int top_fd;         /* the tree's own directory */
    unsigned depth;
    unsigned moves;
    bool moved; /* one more pass over the top is needed */
};

static int remove_entry(int dirfd, const char *name, unsigned char type, void *context);

static int read_mount(int fd, struct statx *ret_status)
{
    int r = statx(fd, "", AT_EMPTY_PATH, STATX_MODE | STATX_MNT_ID, ret_status);
    return r < 0 ? -errno : 0;
}

/* A bind mount has the same device as its source, so the mount IDs decide where they are known. */
static bool same_mount(const struct statx *a, const struct statx *b)
{
    bool ids = a->stx_mask & b->stx_mask & STATX_MNT_ID;
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
           (!ids || a->stx_mnt_id == b->stx_mnt_id);
}

int dir_is_on_another_mount(int dirfd, const char *path)
{
    struct statx own;
    struct statx other;
    int r = read_mount(dirfd, &own);
    if (r < 0)
        return r;
    if (statx(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MODE | STATX_MNT_ID,
              &other) < 0)
        return -errno;
    return !same_mount(&own, &other);
}

static int open_to_empty(int dirfd, const char *name, const struct statx *mount)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -EACCES && fchmodat(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    struct statx status;
    int r = read_mount(fd, &status);
    if (r == 0 && !same_mount(&status, mount))
        r = -EXDEV;
    if (r == 0 && (status.stx_mode & 0700) != 0700)
        r = io_fchmod(fd, 0700);
    return r < 0 ? r : steal_fd(&fd);
}

int dir_open_to_empty(int dirfd, const char *name)
{
    struct statx mount;
    int r = read_mount(dirfd, &mount);
    return r < 0 ? r : open_to_empty(dirfd, name, &mount);
}

static int move_to_top(int dirfd, const char *name, struct removal *removal)
{
    for (;;) {
        char moved[32];
        (void)snprintf(moved, sizeof(moved), "%u", removal->moves++);
        int r = io_renameat_new(dirfd, name, removal->top_fd, moved);
        if (r == -EEXIST)
            continue;
        removal->moved = true;
        return r;
    }
}

static int empty_directory(int fd, struct removal *removal)
{
    removal->depth++;
    int r = dir_each(fd, remove_entry, removal);
    removal->depth--;
    return r;
}

/* Empties and removes the directory NAME. */
static int remove_directory(int dirfd, const char *name, struct removal *removal)
{
    AUTO_FD int fd = open_to_empty(dirfd, name, &removal->mount);
    if (fd < 0)
        return fd;
    if (removal->depth == REMOVAL_DEPTH)
        return move_to_top(dirfd, name, removal);
    if (removal->depth == 0)
        removal->top_fd = fd;
    int r = empty_directory(fd, removal);
    while (r == 0 && removal->depth == 0 && removal->moved) {
        removal->moved = false;
        r = empty_directory(fd, removal);
    }
    return r < 0 ? r : io_unlinkat(dirfd, name, AT_REMOVEDIR);
}

static int remove_entry(int dirfd, const char *name, unsigned char type, void *context)
{
    if (type != DT_DIR && type != DT_UNKNOWN) {
        int r = io_unlinkat(dirfd, name, 0);
        return r == -ENOENT ? 0 : r;
    }
    int r = remove_directory(dirfd, name, context);
    if (r == -ENOTDIR || r == -ELOOP)
        r = io_unlinkat(dirfd, name, 0);
    return r == -ENOENT ? 0 : r;
}

int dir_remove_tree(int dirfd, const char *name)
{
    struct removal removal = {.top_fd = -1};
    int r = read_mount(dirfd, &removal.mount);
    return r < 0 ? r : remove_entry(dirfd, name, DT_UNKNOWN, &removal);
}

static int stop_at_first(int dirfd UNUSED, const char *name UNUSED, unsigned char type UNUSED,
                         void *context UNUSED)
{
    return 1;
}

int dir_is_empty(int dirfd)
{
    int r = dir_each(dirfd, stop_at_first, NULL);
    return r < 0 ? r : !r;
}

int dir_each(int dirfd, dir_visitor *visit, void *context)
{
    /* A second descriptor, since the stream must not move the offset of the caller's. */
    int fd = io_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    AUTO_DIR DIR *stream = fdopendir(fd);
    if (!stream) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry)
            return -errno;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        int r = visit(dirfd, entry->d_name, entry->d_type, context);
        if (r != 0)
            return r;
    }
}

int dir_read_file(int dirfd, const char *name, size_t limit_bytes, char **ret_text,
                  size_t *ret_size)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    return fd < 0 ? fd : dir_read_fd(fd, limit_bytes, ret_text, ret_size);
}

int dir_read_fd(int fd, size_t limit_bytes, char **ret_text, size_t *ret_size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if ((size_t)status.st_size > limit_bytes)
        return -EFBIG;
    size_t room = (size_t)status.st_size;
    AUTO_FREE char *text = malloc(room + 1);
    if (!text)
        return -ENOMEM;
    ssize_t n = io_pread(fd, text, room, 0);
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    *ret_text = steal_pointer(&text);
    if (ret_size)
        *ret_size = (size_t)n;
    return 0;
}

int dir_name_beside(const char *name, const char *mark, char **ret_beside)
{
    uint32_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    *ret_beside = text_format(".%.200s.%s%010" PRIu32 ".tmp", name, mark, random);
    return *ret_beside ? 0 : -ENOMEM;
}

int dir_create_beside(int dirfd, const char *name, const char *mark, mode_t mode, char **ret_beside)
{
    for (;;) {
        AUTO_FREE char *beside = NULL;
        int r = dir_name_beside(name, mark, &beside);
        if (r < 0)
            return r;
        int fd = io_openat(dirfd, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd == -EEXIST)
            continue;
        if (fd >= 0)
            *ret_beside = steal_pointer(&beside);
        return fd;
    }
}

int dir_write_file(int dirfd, const char *name, const void *data, size_t size, mode_t mode)
{
    AUTO_FREE char *beside = NULL;
    AUTO_FD int fd = dir_create_beside(dirfd, name, "", mode, &beside);
    if (fd < 0)
        return fd;
    int r = io_pwrite(fd, data, size, 0);
    if (r == 0)
        r = io_fsync(fd);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    if (r < 0 && unlinkat(dirfd, beside, 0) < 0)
        return r;
    return r;
}
