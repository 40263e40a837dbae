#include "fs/store/in_use.h"

#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fs/base/log.h"
#include "fs/base/process_search.h"

/* On a file system without these locks a store works as well, but there `mintfs clean` excludes no
 * other process. */
static int lock(int fd, int operation)
{
    int r = flock(fd, operation) < 0 ? -errno : 0;
    return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static int check_current(int fd, const char *path)
{
    struct stat held;
    struct stat named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
                   held.st_ino == named.st_ino
               ? 0
               : -ESTALE;
}

int in_use_share(int fd, const char *path)
{
    int r = lock(fd, LOCK_SH | LOCK_NB);
    if (r == -EWOULDBLOCK) {
        log_info("waiting for mintfs clean, which removes the store %s", path);
        do
            r = lock(fd, LOCK_SH);
        while (r == -EINTR);
    }
    return r < 0 ? log_errno(r, "cannot lock the store %s", path) : check_current(fd, path);
}

/* ---- the exclusive lock ---- */

static void note_alarm(int signal UNUSED)
{
}

static struct itimerval each_ms(int ms)
{
    struct timeval interval = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    return (struct itimerval){.it_interval = interval, .it_value = interval};
}

/* -EWOULDBLOCK: other processes have held the lock for all of IN_USE_WAIT_SECONDS. */
static int lock_in_time(int fd)
{
    enum { TICK_MS = 100 };
    struct sigaction wanted = {.sa_handler = note_alarm};
    struct sigaction before;
    struct itimerval timer = each_ms(TICK_MS);
    struct itimerval none = {{0}, {0}};
    if (sigaction(SIGALRM, &wanted, &before) < 0)
        return -errno;
    int r = setitimer(ITIMER_REAL, &timer, NULL) < 0 ? -errno : -EINTR;
    /* A timer signal that arrives before flock() waits is lost; the next one ends the wait. */
    for (int i = 0; r == -EINTR && i < IN_USE_WAIT_SECONDS * 1000 / TICK_MS; i++)
        r = lock(fd, LOCK_EX);
    (void)setitimer(ITIMER_REAL, &none, NULL);
    (void)sigaction(SIGALRM, &before, NULL);
    return r == -EINTR ? -EWOULDBLOCK : r;
}

static bool has_store_open(int procfd, int pid, void *context)
{
    return pid != getpid() && process_has_open(procfd, context);
}

int in_use_claim(int fd, const char *path)
{
    int r = lock_in_time(fd);
    if (r == -EWOULDBLOCK) {
        AUTO_FREE char *users = processes_list(has_store_open, (void *)(uintptr_t)path);
        (void)lock(fd, LOCK_UN);
        return log_fail(EBUSY, "the store %s is in use%s%s: wait for it, or end it", path,
                        users ? " by " : "", users ? users : "");
    }
    if (r < 0)
        return log_errno(r, "cannot lock the store %s", path);
    r = check_current(fd, path);
    if (r < 0)
        (void)lock(fd, LOCK_UN);
    return r;
}
