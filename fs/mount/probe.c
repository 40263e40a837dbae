#define FUSE_USE_VERSION 314

#include "fs/mount/probe.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
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

/* The child's part; a mount whose INIT nobody answers goes with its last descriptor. */
static int try_mount(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return errno;
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
