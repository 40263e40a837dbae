#include "fs/base/io.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* Atomic, since background threads make calls while a test arms it. */
static struct {
    atomic_bool armed;
    atomic_bool sticky;
    atomic_int error;
    atomic_ulong nth;
    atomic_ulong calls;
} fault;

void io_fault_arm(unsigned long nth, int error, enum io_fault_span span)
{
    atomic_store(&fault.armed, false);
    atomic_store(&fault.nth, nth);
    atomic_store(&fault.error, error);
    atomic_store(&fault.sticky, span == IO_FAULT_FROM_THEN_ON);
    atomic_store(&fault.calls, 0);
    atomic_store(&fault.armed, nth > 0 || error < 0);
}

unsigned long io_fault_count(void)
{
    return atomic_load(&fault.calls);
}

/* The seam: 0, or the negative errno with which this call must fail. */
static int seam(void)
{
    if (__builtin_expect(!atomic_load_explicit(&fault.armed, memory_order_relaxed), 1))
        return 0;
    unsigned long call = atomic_fetch_add(&fault.calls, 1) + 1;
    unsigned long nth = atomic_load(&fault.nth);
    if (nth && (atomic_load(&fault.sticky) ? call >= nth : call == nth))
        return -atomic_load(&fault.error);
    return 0;
}

bool io_fault_hits(void)
{
    return seam() != 0;
}

/* Runs a call through the seam, again after EINTR. */
#define SEAM_CALL(call)                                                                            \
    ({                                                                                             \
        long seam_result = seam();                                                                 \
        if (seam_result == 0) {                                                                    \
            do                                                                                     \
                seam_result = (call);                                                              \
            while (seam_result < 0 && errno == EINTR);                                             \
            if (seam_result < 0)                                                                   \
                seam_result = -errno;                                                              \
        }                                                                                          \
        seam_result;                                                                               \
    })

int io_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    return (int)SEAM_CALL(openat(dirfd, path, flags | O_CLOEXEC, mode));
}

int io_openat2(int dirfd, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC, .resolve = resolve};
    return (int)SEAM_CALL(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

ssize_t io_pread(int fd, void *buffer, size_t size, off_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = SEAM_CALL(pread(fd, (char *)buffer + done, size - done, offset + (off_t)done));
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int io_pread_exact(int fd, void *buffer, size_t size, off_t offset)
{
    ssize_t n = io_pread(fd, buffer, size, offset);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? 0 : -EIO;
}

int io_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n =
            SEAM_CALL(pwrite(fd, (const char *)buffer + done, size - done, offset + (off_t)done));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO;
        done += (size_t)n;
    }
    return 0;
}

int io_fsync(int fd)
{
    struct stat status;
    int r = (int)SEAM_CALL(fsync(fd));
    /* On file systems without fsync of directories nothing can make rename(2) more durable. */
    if (r == -EINVAL && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    return r;
}

void io_start_writeback(int fd)
{
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int io_ftruncate(int fd, off_t size)
{
    return (int)SEAM_CALL(ftruncate(fd, size));
}

int io_fallocate(int fd, int mode, off_t offset, off_t length)
{
    return (int)SEAM_CALL(fallocate(fd, mode, offset, length));
}

int io_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    return (int)SEAM_CALL(renameat(from_dirfd, from, to_dirfd, to));
}

/* The errors by which bindfs, mergerfs, encfs, ntfs-3g, OpenZFS before 2.2 and others refuse
 * renameat2's flags. */
static bool lacks_rename_flags(int error)
{
    return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP;
}

/*
 * rename(2) replaces a directory only if it is empty, so a directory that another process creates
 * between the check and the rename is not lost. A file could be. link(2) and unlink(2) would
 * prevent that, but path-based FUSE file systems such as bindfs then keep two inodes of the open
 * file, each with its own cache.
 */
static int rename_new_by_steps(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    struct stat status;
    if (fstatat(to_dirfd, to, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    if (errno != ENOENT)
        return -errno;
    int r = io_renameat(from_dirfd, from, to_dirfd, to);
    return r == -ENOTEMPTY ? -EEXIST : r;
}

int io_renameat_new(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    int r = (int)SEAM_CALL(renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE));
    return lacks_rename_flags(r) ? rename_new_by_steps(from_dirfd, from, to_dirfd, to) : r;
}

/* Between the steps `b` does not exist; a process that is killed then leaves it as A.old. */
static int exchange_by_steps(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
    char aside[NAME_MAX + 1];
    if (snprintf(aside, sizeof(aside), "%s.old", a) >= (int)sizeof(aside))
        return -ENAMETOOLONG;
    int r = io_renameat_new(b_dirfd, b, a_dirfd, aside);
    if (r < 0)
        return r;
    r = io_renameat(a_dirfd, a, b_dirfd, b);
    if (r < 0 && renameat(a_dirfd, aside, b_dirfd, b) < 0)
        return -errno;
    return r < 0 ? r : io_renameat(a_dirfd, aside, a_dirfd, a);
}

int io_renameat_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b)
{
    int r = (int)SEAM_CALL(renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE));
    return lacks_rename_flags(r) ? exchange_by_steps(a_dirfd, a, b_dirfd, b) : r;
}

int io_link_fd(int fd, int dirfd, const char *name)
{
    /* AT_EMPTY_PATH needs a capability; /proc does not. */
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return (int)SEAM_CALL(linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW));
}

int io_unlinkat(int dirfd, const char *name, int flags)
{
    return (int)SEAM_CALL(unlinkat(dirfd, name, flags));
}

int io_mkdirat(int dirfd, const char *name, mode_t mode)
{
    return (int)SEAM_CALL(mkdirat(dirfd, name, mode));
}

int io_fchmod(int fd, mode_t mode)
{
    return (int)SEAM_CALL(fchmod(fd, mode));
}

int io_symlinkat(const char *target, int dirfd, const char *name)
{
    return (int)SEAM_CALL(symlinkat(target, dirfd, name));
}

int io_reflink(int from_fd, int to_fd)
{
    int r = (int)SEAM_CALL(ioctl(to_fd, FICLONE, from_fd));
    /* The errors of file systems without shared blocks, and of two different devices. */
    if (r == -EXDEV || r == -EINVAL || r == -ENOTTY || r == -ENOSYS || r == -EPERM)
        return -EOPNOTSUPP;
    return r;
}

static int copy_through_buffer(int from_fd, int to_fd, off_t offset, off_t end)
{
    enum { CHUNK = 1 << 20 };
    AUTO_FREE char *buffer = malloc(CHUNK);
    if (!buffer)
        return -ENOMEM;
    while (offset < end) {
        size_t wanted = end - offset < CHUNK ? (size_t)(end - offset) : CHUNK;
        ssize_t n = io_pread(from_fd, buffer, wanted, offset);
        if (n <= 0)
            return (int)n;
        int r = io_pwrite(to_fd, buffer, (size_t)n, offset);
        if (r < 0)
            return r;
        offset += n;
    }
    return 0;
}

static int copy_range(int from_fd, int to_fd, off_t offset, off_t end)
{
    off_t to_offset = offset;
    while (offset < end) {
        size_t wanted = end - offset < 1L << 30 ? (size_t)(end - offset) : 1UL << 30;
        long n = SEAM_CALL(copy_file_range(from_fd, &offset, to_fd, &to_offset, wanted, 0));
        if (n == 0)
            break;
        if (n == -EXDEV || n == -EINVAL || n == -ENOSYS || n == -EOPNOTSUPP || n == -EPERM)
            return copy_through_buffer(from_fd, to_fd, offset, end);
        if (n < 0)
            return (int)n;
    }
    return 0;
}

/* The next data at or after `offset`; all the rest if the file system cannot report holes. */
static void find_data(int fd, off_t offset, off_t size, off_t *ret_data, off_t *ret_end)
{
    *ret_data = lseek(fd, offset, SEEK_DATA);
    if (*ret_data < 0)
        *ret_data = errno == ENXIO ? size : offset;
    *ret_end = *ret_data < size ? lseek(fd, *ret_data, SEEK_HOLE) : size;
    if (*ret_end <= *ret_data || *ret_end > size)
        *ret_end = size;
}

int io_copy_file(int from_fd, int to_fd)
{
    struct stat status;
    int r = io_reflink(from_fd, to_fd);
    if (r != -EOPNOTSUPP)
        return r;
    if (fstat(from_fd, &status) < 0)
        return -errno;
    r = io_ftruncate(to_fd, status.st_size);
    off_t data;
    for (off_t end = 0; r == 0 && end < status.st_size;) {
        find_data(from_fd, end, status.st_size, &data, &end);
        r = copy_range(from_fd, to_fd, data, end);
    }
    return r;
}
