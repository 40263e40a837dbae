/*
 * How a mount ends. The stopper waits for a reason:
 *
 *     a signal      SIGTERM, SIGINT, SIGHUP, or SIGXCPU some time before the limit on CPU time.
 *                   New opens are refused, open files are served for grace_seconds, then the
 *                   mount ends.
 *     an unmount    Usually the kernel's side of the mount ends with it, and so does the loop.
 *                   If other mount namespaces have copies of the mount, it does not: the daemon
 *                   ends as soon as no file is open.
 *
 * A copy in another namespace keeps the connection. The daemon closes its end, and the copy is a
 * dead mount from then on.
 */
#include "fs/mount/stop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "fs/base/clock.h"
#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/mount/mount_users.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/verifier.h"

enum {
    /* Interrupts a wait of the loop's threads, and has no other effect. */
    SIGNAL_WAKE = SIGUSR1,
    RETRY_NS = 100 * 1000 * 1000,
    /* How long requests may run after the loop was told to end. */
    FORCED_END_SECONDS = 30,
};

/* Waits until all files are closed or the loop has ended, at most for `wait_ns`. */
static void await_closed(struct server *server, int64_t wait_ns)
{
    struct timespec until = clock_monotonic_after(wait_ns);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&server->mutex);
    while (!server->ended && atomic_load(&server->open_files) > 0 &&
           pthread_cond_timedwait(&server->changed, &server->mutex, &until) != ETIMEDOUT)
        continue;
}

static bool has_ended(struct server *server, int64_t wait_ns)
{
    struct timespec until = clock_monotonic_after(wait_ns);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&server->mutex);
    while (!server->ended &&
           pthread_cond_timedwait(&server->changed, &server->mutex, &until) != ETIMEDOUT)
        continue;
    return server->ended;
}

/* Whether this mount namespace no longer has the mount. Other namespaces may have copies. */
static bool is_detached(const struct server *server)
{
    return server->device && !mountpoint_has_device(server->device);
}

/* Makes the kernel send the dirty pages of open files while the daemon can still receive them. */
static void push_dirty_pages(struct server *server)
{
    AUTO_FD int fd = is_detached(server)
                         ? mount_open_elsewhere(server->device)
                         : open(server->options->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return;
    /* syncfs(2) does not wait for WRITEs that are under way: wait until no more arrive. */
    uint64_t before = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        uint64_t now = atomic_load(&server->requests[REQUEST_WRITE]);
        if (now == before || has_ended(server, RETRY_NS))
            return;
        before = now;
    }
}

/* If the mount ends while in use: receives what the kernel still caches, and logs who uses it. */
static void warn_of_users(struct server *server)
{
    AUTO_FREE char *users = is_detached(server) ? mount_holders(server->device)
                                                : mount_users(server->options->mount_point);
    push_dirty_pages(server);
    log_warning("%s ends while in use%s%s: what is written to it from now on is lost",
                server->options->mount_point, users ? " by " : "", users ? users : "");
}

static int wake_thread(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                       void *context UNUSED)
{
    (void)syscall(SYS_tgkill, getpid(), (pid_t)strtol(name, NULL, 10), SIGNAL_WAKE);
    return 0;
}

/*
 * libfuse ends its workers with pthread_cancel(3). That sends a real-time signal, which the kernel
 * refuses if the user may queue no more signals (ulimit -i), and the join that follows would never
 * return. A standard signal is always delivered: it interrupts the wait for a request, and the
 * worker then notices that the session has ended. All other threads block the signal.
 */
static void wake_loop(const struct server *server)
{
    AUTO_FD int fd = io_openat(AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || dir_each(fd, wake_thread, NULL) < 0)
        (void)pthread_kill(server->loop, SIGNAL_WAKE);
}

/* As with a killed daemon, data of a finished fsync survives. */
static void end_by_force(const struct server *server)
{
    log_error("%s: a request has not ended for %d s: the daemon ends without it; what its sessions "
              "have not synced is lost",
              server->options->mount_point, FORCED_END_SECONDS);
    if (!server->is_unmounted)
        (void)!mountpoint_detach(server->options->mount_point);
    _exit(EXIT_FAILURE);
}

/*
 * Tells the loop to end, since the connection lasts while a file is open. fuse_session_unmount()
 * detaches the mount later; if it were detached here, that function would complain on standard
 * error. If the loop does not end in time, the process exits.
 */
static void end_loop(struct server *server)
{
    int64_t until_ns = clock_monotonic_ns() + FORCED_END_SECONDS * NS_PER_S;
    fuse_session_exit(server->fuse);
    do {
        if (clock_monotonic_ns() >= until_ns)
            end_by_force(server);
        wake_loop(server);
    } while (!has_ended(server, RETRY_NS));
}

static void stop(struct server *server)
{
    atomic_store(&server->stopping, true);
    verifier_interrupt(server);
    int64_t grace_ns = server->options->grace_seconds * NS_PER_S;
    int64_t until_ns = clock_monotonic_ns() + grace_ns;
    await_closed(server, grace_ns);
    /* -EBUSY may also be due to a working directory or a mapping. */
    int r = -EBUSY;
    do {
        if (r == -EBUSY && is_detached(server))
            r = 0;
        if (r == -EBUSY)
            r = mountpoint_unmount(server->options->mount_point);
        if (has_ended(server, RETRY_NS))
            return;
        if (is_detached(server) && atomic_load(&server->open_files) == 0)
            break;
    } while (clock_monotonic_ns() < until_ns && (r == 0 || r == -EBUSY));
    server->is_unmounted = r == 0 || mountpoint_state(server->options->mount_point) != MOUNT_OURS;
    if (!server->is_unmounted || atomic_load(&server->open_files) > 0)
        warn_of_users(server);
    end_loop(server);
}

/* ---- reasons to stop ---- */

static void fill_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGHUP);
    sigaddset(ret_signals, SIGXCPU);
}

/* Whether a signal asks the daemon to stop. */
static bool take_signal(int fd, const struct server *server)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return false;
    if (info.ssi_signo == SIGXCPU)
        log_warning("%s ends: the daemon has used up its CPU time (ulimit -t); run "
                    "mintfs mount where that limit is not set",
                    server->options->mount_point);
    return true;
}

/* Waits for a reason to stop. False if the loop has ended by itself. */
static bool await_reason(struct server *server)
{
    sigset_t signals;
    fill_signals(&signals);
    AUTO_FD int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    AUTO_FD int mounts_fd = io_openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0);
    struct pollfd fds[] = {
        {.fd = signal_fd, .events = POLLIN},
        {.fd = server->stop_fd, .events = POLLIN},
        {.fd = mounts_fd, .events = POLLPRI}, /* a mount was added or removed */
    };
    while (!has_ended(server, 0)) {
        if (is_detached(server)) {
            atomic_store(&server->detached, true);
            if (atomic_load(&server->open_files) == 0)
                return true;
        }
        if (poll(fds, ARRAY_LENGTH(fds), -1) < 0 && errno != EINTR)
            log_warning("cannot wait for signals: %s", strerror(errno));
        if (take_signal(signal_fd, server))
            return true;
        uint64_t calls;
        if ((fds[1].revents & POLLIN) && read(server->stop_fd, &calls, sizeof(calls)) < 0)
            continue;
    }
    return false;
}

static void *watch(void *context)
{
    struct server *server = context;
    (void)pthread_mutex_lock(&server->mutex);
    while (!server->ready && !server->ended)
        (void)pthread_cond_wait(&server->changed, &server->mutex);
    bool ended = server->ended;
    (void)pthread_mutex_unlock(&server->mutex);
    if (ended)
        return NULL;
    server->on_ready(server->on_ready_context);
    if (await_reason(server))
        stop(server);
    return NULL;
}

static void do_nothing(int signal UNUSED)
{
}

void stopper_block_signals(void)
{
    struct sigaction wake = {.sa_handler = do_nothing};
    (void)sigaction(SIGNAL_WAKE, &wake, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    fill_signals(&blocked);
    sigaddset(&blocked, SIGNAL_WAKE);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

int stopper_start(struct server *server)
{
    server->loop = pthread_self();
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0)
        return log_errno(errno, "cannot wait for signals");
    int r = spawn_thread(&server->stopper, watch, server);
    if (r < 0) {
        (void)close(server->stop_fd);
        return r;
    }
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, SIGNAL_WAKE);
    (void)pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
    return 0;
}

void stopper_end(struct server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->ended = true;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
    server_wake_stopper(server);
    (void)pthread_join(server->stopper, NULL);
    (void)close(server->stop_fd);
}
