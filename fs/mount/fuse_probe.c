#define FUSE_USE_VERSION 314

#include "fs/mount/fuse_probe.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fs/base/io.h"

const char *probe_library_version(void)
{
    return fuse_pkgversion();
}

bool probe_library_has_uring(void)
{
#ifdef HAVE_FUSE_URING
    return true;
#else
    return false;
#endif
}

/* fsconfig(2) by its number: linux/mount.h conflicts with sys/mount.h of older C libraries. */
static int set_string(int fs, const char *key, unsigned value)
{
    enum { SET_STRING = 1 };
    char text[24];
    (void)snprintf(text, sizeof(text), key[0] == 'r' ? "%o" : "%u", value);
    return (int)syscall(SYS_fsconfig, fs, SET_STRING, key, text, 0);
}

/* Creates a mount and attaches it nowhere. */
static int try_detached(void)
{
    enum { CMD_CREATE = 6 };
    AUTO_FD int fd = io_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
    AUTO_FD int fs = fd < 0 ? -1 : (int)syscall(SYS_fsopen, "fuse", 1);
    if (fd < 0)
        return -fd;
    return fs < 0 || set_string(fs, "fd", (unsigned)fd) < 0 ||
                   set_string(fs, "rootmode", S_IFDIR) < 0 ||
                   set_string(fs, "user_id", geteuid()) < 0 ||
                   set_string(fs, "group_id", getegid()) < 0 ||
                   syscall(SYS_fsconfig, fs, CMD_CREATE, NULL, NULL, 0) < 0
               ? errno
               : 0;
}

/*
 * Runs in the child. The mount, whose INIT nobody answers, ends with its last descriptor. In a
 * chroot whose / is not a mount point, the mount could propagate, so a detached one is tried
 * instead.
 */
static int try_mount(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        return errno;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno == EINVAL ? try_detached() : errno;
    AUTO_FD int fd = io_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
    if (fd < 0)
        return -fd;
    char options[96];
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd,
                   (unsigned)geteuid(), (unsigned)getegid());
    return mount("mintfs", "/dev", "fuse.mintfs", MS_NOSUID | MS_NODEV, options) < 0 ? errno : 0;
}

int probe_mount(void)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        _exit(try_mount());
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
