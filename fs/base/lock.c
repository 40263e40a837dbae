#include "fs/base/lock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"

/* Open file description locks: unlike flock(2), they can be queried without being taken. */
static int apply(int fd, enum lock_kind kind, int command, struct flock *ret_found)
{
    struct flock range = {.l_type = (short)(kind == LOCK_SHARED ? F_RDLCK : F_WRLCK),
                          .l_whence = SEEK_SET};
    if (fcntl(fd, command, &range) < 0)
        return errno == EAGAIN || errno == EACCES ? -EWOULDBLOCK : -errno;
    if (ret_found)
        *ret_found = range;
    return 0;
}

/* Whether NAME still refers to the locked file. */
static bool is_current(int fd, int dirfd, const char *name)
{
    struct stat held;
    struct stat named;
    return fstat(fd, &held) == 0 && fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

int lock_take(struct lock *lock, int dirfd, const char *name, enum lock_kind kind,
              enum lock_patience patience)
{
    for (;;) {
        AUTO_FD int fd = io_openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
        if (fd < 0)
            return fd;
        int r = apply(fd, kind, patience == LOCK_WAIT ? F_OFD_SETLKW : F_OFD_SETLK, NULL);
        if (r < 0)
            return r;
        if (!is_current(fd, dirfd, name))
            continue;
        char *copy = strdup(name);
        if (!copy)
            return -ENOMEM;
        *lock = (struct lock){.fd = steal_fd(&fd), .dirfd = dirfd, .name = copy};
        return 0;
    }
}

int lock_describe(struct lock *lock, const char *text)
{
    /* In this order a reader never sees an empty file after the first text was written. */
    int r = io_pwrite(lock->fd, text, strlen(text), 0);
    return r < 0 ? r : io_ftruncate(lock->fd, (off_t)strlen(text));
}

void lock_release(struct lock *lock)
{
    if (lock->fd < 0)
        return;
    /* Of several holders of a shared lock, only the last one can make its lock exclusive. */
    if (apply(lock->fd, LOCK_EXCLUSIVE, F_OFD_SETLK, NULL) == 0 &&
        is_current(lock->fd, lock->dirfd, lock->name))
        (void)unlinkat(lock->dirfd, lock->name, 0);
    lock_forget(lock);
}

int lock_park(struct lock *lock)
{
    struct flock range = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int r = futimens(lock->fd, NULL) < 0 ? -errno : 0;
    return fcntl(lock->fd, F_OFD_SETLK, &range) < 0 ? -errno : r;
}

int lock_unpark(struct lock *lock)
{
    int r = apply(lock->fd, LOCK_SHARED, F_OFD_SETLK, NULL);
    if (r < 0)
        return r;
    if (is_current(lock->fd, lock->dirfd, lock->name))
        return 0;
    lock_forget(lock);
    return -ESTALE;
}

void lock_forget(struct lock *lock)
{
    if (lock->fd >= 0)
        (void)close(lock->fd);
    free(lock->name);
    *lock = (struct lock)LOCK_INIT;
}

int lock_holder(int dirfd, const char *name, char *ret_text, size_t size)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    struct flock found = {0};
    int r = apply(fd, LOCK_EXCLUSIVE, F_OFD_GETLK, &found);
    if (r < 0)
        return r;
    if (found.l_type == F_UNLCK)
        return 0;
    ssize_t n = io_pread(fd, ret_text, size - 1, 0);
    if (n < 0)
        return (int)n;
    ret_text[n] = '\0';
    return 1;
}

static int sweep_one(int dirfd, const char *name, unsigned char type UNUSED, void *context UNUSED)
{
    struct lock lock = LOCK_INIT;
    int r = lock_take(&lock, dirfd, name, LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == 0)
        lock_release(&lock);
    return r == -EWOULDBLOCK ? 0 : r;
}

int lock_sweep(int dirfd)
{
    return dir_each(dirfd, sweep_one, NULL);
}
