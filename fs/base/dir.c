#include "fs/base/dir.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fs/base/io.h"

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
        return io_openat(dirfd, ".", flags, 0);
    for (;;) {
        char *next = strtok_r(NULL, "/", &rest);
        if (!strcmp(part, ".."))
            return -EXDEV;
        int step_flags = next ? O_PATH | O_DIRECTORY | O_NOFOLLOW : flags | O_NOFOLLOW;
        int fd = io_openat(at >= 0 ? at : dirfd, part, step_flags, 0);
        if (fd < 0 || !next)
            return fd;
        if (at >= 0)
            (void)close(at);
        at = fd;
        part = next;
    }
}

int dir_open_beneath(int dirfd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == EPERM || errno == EAGAIN)
        return open_by_steps(dirfd, path, flags);
    return -errno;
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

struct removal {
    dev_t device;
};

static int remove_entry(int dirfd, const char *name, unsigned char type, void *context);

/* Empties and removes the directory NAME, whose descriptor stays on the device it began on. */
static int remove_directory(int dirfd, const char *name, struct removal *removal)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
        fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_dev != removal->device)
        return -EXDEV;
    if ((status.st_mode & 0700) != 0700) {
        int r = io_fchmod(fd, 0700);
        if (r < 0)
            return r;
    }
    int r = dir_each(fd, remove_entry, removal);
    if (r < 0)
        return r;
    return io_unlinkat(dirfd, name, AT_REMOVEDIR);
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
    struct stat status;
    if (fstat(dirfd, &status) < 0)
        return -errno;
    struct removal removal = {.device = status.st_dev};
    return remove_entry(dirfd, name, DT_UNKNOWN, &removal);
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
    /* A descriptor of its own: the stream's offset must not move the caller's. */
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
    if (fd < 0)
        return fd;
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

int dir_write_file(int dirfd, const char *name, const void *data, size_t size, mode_t mode)
{
    AUTO_FREE char *beside = NULL;
    if (asprintf(&beside, ".%s.%d.tmp", name, getpid()) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    int r = io_unlinkat(dirfd, beside, 0);
    if (r < 0 && r != -ENOENT)
        return r;
    AUTO_FD int fd = io_openat(dirfd, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0)
        return fd;
    r = io_pwrite(fd, data, size, 0);
    if (r == 0)
        r = io_fsync(fd);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    if (r < 0 && unlinkat(dirfd, beside, 0) < 0)
        return r;
    return r;
}
