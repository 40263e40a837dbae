#include "fs/client/daemon_control.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fs/base/io.h"
#include "fs/base/json_bounds.h"
#include "fs/base/log.h"
#include "fs/base/process_search.h"
#include "fs/base/spawn.h"
#include "fs/base/text.h"
#include "fs/mount/mount_users.h"
#include "fs/mount/mountpoint.h"
#include "fs/store/lock_names.h"
#include "fs/store/settings.h"

enum {
    /* A daemon without open files ends within this time; only longer waits are worth a message. */
    PROMPT_END_MS = 500,
    /* How long it may take to store written data, beyond the time for open files. */
    END_MARGIN_SECONDS = 10,
};

int daemon_lock_start(const struct store *store, struct lock *lock)
{
    int r = lock_take(lock, store->locks_fd, LOCK_NAME_MOUNTING, LOCK_EXCLUSIVE, LOCK_WAIT);
    return r < 0 ? log_errno(r, "cannot write to %s/v1/locks", store->path) : 0;
}

int daemon_log_unreachable(const struct store *store, const struct serve_found *found)
{
    return log_fail(EIO,
                    "the store %s is mounted at %s by process %d, but not where this process "
                    "sees it (another container or mount namespace); mintfs umount ends it",
                    store->path, found->mount_point, found->pid);
}

/* A status has a few hundred bytes per session; a longer file is not a status. */
enum { STATUS_LIMIT_BYTES = 64 << 20, STATUS_BLOCK_BYTES = 1 << 16 };
static const struct json_bounds status_bounds = {
    .values = 4 << 20, .objects = 400000, .arrays = 400000};

static int read_status_text(int fd, char **ret_text, size_t *ret_size)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    for (size_t room = STATUS_BLOCK_BYTES;; room *= 2) {
        char *longer = room <= STATUS_LIMIT_BYTES ? realloc(text, room) : NULL;
        if (!longer)
            return room <= STATUS_LIMIT_BYTES ? -ENOMEM : -EFBIG;
        text = longer;
        ssize_t n = io_pread(fd, text + size, room - size, (off_t)size);
        if (n < 0)
            return (int)n;
        size += (size_t)n;
        if (size < room)
            break;
    }
    if (!json_is_within(text, size, &status_bounds))
        return -EFBIG;
    *ret_text = steal_pointer(&text);
    *ret_size = size;
    return 0;
}

int daemon_read_status(const char *mount_point, json_t **ret_status, json_error_t *ret_error)
{
    AUTO_FREE char *path = text_format("%s" MOUNT_STATUS, mount_point);
    if (!path)
        return -ENOMEM;
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    /* In blocks, since json_loadfd() would read byte by byte. */
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    int r = read_status_text(fd, &text, &size);
    if (r < 0)
        return r;
    *ret_status = json_loadb(text, size, 0, ret_error);
    return *ret_status ? 0 : -EBADMSG;
}

/* Whether the process with this ID in our PID namespace is the daemon: it has the lock's file
 * open. */
static bool is_daemon(const struct store *store, int pid)
{
    char directory[32];
    AUTO_FREE char *lock = text_format("%s/v1/locks/mount", store->path);
    if (!lock)
        return false;
    (void)snprintf(directory, sizeof(directory), "/proc/%d", pid);
    AUTO_FD int fd = io_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
    return fd >= 0 && process_has_open(fd, lock);
}

/* A daemon is about to end if its mount is gone in its own mount namespace, too. */
static bool is_ending(const struct store *store, const struct serve_found *found)
{
    return is_daemon(store, found->pid) && !mountpoint_is_seen_by(found->pid, found->mount_point);
}

/* Whether the process ends within this time. */
static bool ends_within(int pidfd, int wait_ms)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&poll_fd, 1, wait_ms);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/*
 * Waits for the end of a daemon whose mount is gone here. One that still serves other mount
 * namespaces is sent SIGTERM. -EBUSY (logged): it has not ended in time.
 */
static int await_end(const struct serve_found *found, int pidfd)
{
    unsigned wait_seconds = found->grace_seconds + END_MARGIN_SECONDS;
    if (ends_within(pidfd, PROMPT_END_MS)) {
        AUTO_FREE char *holders = mount_holders(found->device);
        if (holders)
            log_info("%s: other mount namespaces keep a copy of the mount, which is dead now: %s",
                     found->mount_point, holders);
        return 0;
    }
    AUTO_FREE char *holders = mount_holders(found->device);
    log_info("%s: waiting at most %u s for the daemon (process %d)%s%s", found->mount_point,
             wait_seconds, found->pid,
             holders ? ", which serves files that are open in other mount namespaces: " : " to end",
             holders ? holders : "");
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
        log_warning("cannot ask process %d to end: %s", found->pid, strerror(errno));
    if (ends_within(pidfd, (int)wait_seconds * 1000))
        return 0;
    return log_fail(
        EBUSY,
        "the daemon of %s (process %d) has not ended within %u s; to end it, and lose what "
        "its sessions have not synced: kill -9 %d",
        found->mount_point, found->pid, wait_seconds, found->pid);
}

/* As daemon_find(), without waiting. ret_found is also set for a daemon that has not mounted yet,
 * or whose mount is gone. */
static int look(const struct store *store, struct serve_found *ret_found)
{
    serve_found_fini(ret_found);
    int r = serve_find(store, ret_found);
    if (r < 0)
        return log_errno(r, "cannot look into %s/v1/locks", store->path);
    return r == 1 && mountpoint_state(ret_found->mount_point) == MOUNT_OURS;
}

int daemon_find(const struct store *store, struct serve_found *ret_found)
{
    int r = look(store, ret_found);
    if (r != 0 || !ret_found->mount_point)
        return r;
    /* A mount that is being started is ready when its starter has released the lock. */
    AUTO_LOCK struct lock starting = LOCK_INIT;
    r = daemon_lock_start(store, &starting);
    if (r == 0)
        r = look(store, ret_found);
    if (r != 0 || !ret_found->mount_point)
        return r;
    AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, ret_found->pid, 0);
    /* Without such a process it has ended meanwhile, or is in another PID namespace. */
    if (pidfd >= 0 && !is_ending(store, ret_found))
        return 0;
    lock_release(&starting);
    if (pidfd >= 0 && !ends_within(pidfd, PROMPT_END_MS))
        return 0;
    return look(store, ret_found);
}

/* As daemon_claim(); *ret_is_reachable tells of a daemon whether its mount can be reached from
 * here. */
static int claim(const struct store *store, struct lock *starting, struct serve_found *ret_found,
                 bool *ret_is_reachable)
{
    for (;;) {
        int r = daemon_lock_start(store, starting);
        if (r == 0)
            r = look(store, ret_found);
        *ret_is_reachable = r == 1;
        if (r != 0 || !ret_found->mount_point)
            return r;
        AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, ret_found->pid, 0);
        if (pidfd < 0 || !is_ending(store, ret_found)) {
            /* It may have ended meanwhile. */
            r = look(store, ret_found);
            *ret_is_reachable = r == 1;
            return r < 0 ? r : ret_found->mount_point != NULL;
        }
        /* Other processes need not wait for the lock meanwhile. */
        lock_release(starting);
        if (ends_within(pidfd, PROMPT_END_MS))
            continue;
        AUTO_FREE char *holders = mount_holders(ret_found->device);
        log_info("waiting at most %u s for the daemon that served %s (process %d)%s%s",
                 ret_found->grace_seconds + END_MARGIN_SECONDS, ret_found->mount_point,
                 ret_found->pid, holders ? ", which still serves: " : "", holders ? holders : "");
        if (!ends_within(pidfd, (int)(ret_found->grace_seconds + END_MARGIN_SECONDS) * 1000))
            return log_fail(EBUSY,
                            "the daemon that served %s (process %d) still serves files that are "
                            "open in other mount namespaces%s%s; mintfs umount ends it",
                            ret_found->mount_point, ret_found->pid, holders ? ": " : "",
                            holders ? holders : "");
    }
}

int daemon_claim(const struct store *store, struct lock *starting, struct serve_found *ret_found)
{
    bool is_reachable;
    return claim(store, starting, ret_found, &is_reachable);
}

int daemon_await(const struct store *store, struct serve_found *ret_found)
{
    AUTO_LOCK struct lock starting = LOCK_INIT;
    bool is_reachable;
    int r = claim(store, &starting, ret_found, &is_reachable);
    return r < 0 ? r : is_reachable;
}

/* A mount that cannot be seen from here ends with its daemon, which is sent SIGTERM. */
static int stop_unreachable(const struct store *store, const struct serve_found *found, int pidfd)
{
    bool is_daemon_here = pidfd >= 0 && is_daemon(store, found->pid);
    if (is_daemon_here && is_ending(store, found))
        return 0;
    if (!is_daemon_here || syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) < 0) {
        /* It may have ended meanwhile, and another may have started. */
        AUTO_SERVE_FOUND struct serve_found now = {0};
        int r = serve_find(store, &now);
        return r == 1 && now.pid == found->pid ? daemon_log_unreachable(store, found)
                                               : (r < 0 ? r : 0);
    }
    log_info("asked the daemon of %s (process %d) to end: its mount cannot be seen from here",
             found->mount_point, found->pid);
    return 0;
}

/* The place to unmount, and the daemon if the store has one. */
static int find_mount(const struct store *store, const char *typed, struct serve_found *ret_found,
                      char **ret_place)
{
    int r = serve_find(store, ret_found);
    if (r < 0)
        return log_errno(r, "cannot look into %s/v1/locks", store->path);
    if (typed)
        return mountpoint_resolve(typed, ret_place);
    if (r == 1) {
        *ret_place = strdup(ret_found->mount_point);
        return *ret_place ? 0 : -ENOMEM;
    }
    r = serve_find_dead(store, ret_place);
    if (r != 0)
        return r < 0 ? r : 0;
    r = mountpoint_default(ret_place);
    if (r < 0)
        return r;
    enum mount_state state = mountpoint_state(*ret_place);
    if (state == MOUNT_OURS)
        return log_fail(ENOENT,
                        "the store %s is not mounted; %s serves another store, or one that was "
                        "removed, until: mintfs umount %s",
                        store->path, *ret_place, *ret_place);
    return state == MOUNT_STALE ? 0 : log_fail(ENOENT, "the store %s is not mounted", store->path);
}

static int unmount(const char *place)
{
    switch (mountpoint_state(place)) {
    case MOUNT_NONE:
        return log_fail(ENOENT, "nothing is mounted at %s", place);
    case MOUNT_FOREIGN:
        return log_fail(ENOENT, "the mount at %s is not one of mintfs: left alone", place);
    case MOUNT_STALE: {
        int r = mountpoint_detach(place);
        return r < 0 ? log_errno(r, "cannot unmount the dead mount at %s", place) : 0;
    }
    case MOUNT_OURS:
        break;
    }
    int r = mountpoint_unmount(place);
    /* Another process was faster. */
    if (r < 0 && mountpoint_state(place) == MOUNT_NONE)
        return 0;
    if (r == -EBUSY) {
        AUTO_FREE char *users = mount_users(place);
        return log_fail(EBUSY, "%s is in use%s%s", place, users ? " by " : "",
                        users ? users : ": close what is open there, and try again");
    }
    return r < 0 ? log_errno(r, "cannot unmount %s", place) : 0;
}

int daemon_stop(const struct store *store, const char *typed)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_FREE char *place = NULL;
    int r = find_mount(store, typed, &found, &place);
    if (r < 0)
        return r;
    bool has_daemon = place && found.mount_point && !strcmp(found.mount_point, place);
    /* Opened first, then checked: the number of a daemon in another PID namespace may belong to
     * another process here, which is neither awaited nor sent a signal. */
    AUTO_FD int pidfd = has_daemon ? (int)syscall(SYS_pidfd_open, found.pid, 0) : -1;
    if (pidfd >= 0 && !is_daemon(store, found.pid))
        (void)close(steal_fd(&pidfd));
    r = has_daemon && mountpoint_state(place) == MOUNT_NONE ? stop_unreachable(store, &found, pidfd)
                                                            : unmount(place);
    return r == 0 && pidfd >= 0 ? await_end(&found, pidfd) : r;
}

/* ---- starting ---- */

static int idle_option(char *ret_text, size_t size)
{
    uint64_t seconds;
    int r = settings_get_number(SETTING_IDLE, &seconds);
    if (r < 0)
        return r;
    /* 0: it never ends by itself. */
    (void)snprintf(ret_text, size, "idle=%u", seconds > INT32_MAX ? 0 : (unsigned)seconds);
    return 0;
}

/* Reads the messages of a started mount, until the daemon closes its standard error. */
static void read_messages(int fd, char *ret_text, size_t size)
{
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 &&
           ((n = read(fd, ret_text + used, size - 1 - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    ret_text[used] = '\0';
}

/*
 * Runs `mintfs mount` of this program. 1 where the store is mounted then, by this process or
 * another; 0 where it cannot be mounted. Its messages are then printed, unless `logging` is
 * DAEMON_LOG_NOTHING.
 */
static int run_mount(char *option, enum daemon_logging logging)
{
    enum { STATUS_BUSY = 4 }; /* its exit status where the store is mounted already */
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return log_errno(errno, "cannot make a pipe");
    AUTO_FD int read_end = ends[0];
    AUTO_FD int write_end = ends[1];
    char *arguments[] = {(char *)(uintptr_t) "mintfs", (char *)(uintptr_t) "mount",
                         (char *)(uintptr_t) "-o", option, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, write_end, STDERR_FILENO);
    pid_t pid;
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return spawn_log_error(error, "mintfs mount");
    char messages[2048];
    (void)close(steal_fd(&write_end));
    read_messages(read_end, messages, sizeof(messages));
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_BUSY))
        return 1;
    (void)fputs(logging == DAEMON_LOG_NOTHING ? "" : messages, stderr);
    return 0;
}

int daemon_start(const struct store *store, enum daemon_logging logging,
                 struct serve_found *ret_found)
{
    /* Another process may unmount it before it is used. */
    enum { TRIES = 10 };
    char option[32];
    int r = idle_option(option, sizeof(option));
    for (int i = 0; r == 0 && i < TRIES; i++) {
        r = run_mount(option, logging);
        if (r <= 0)
            return r;
        /* If another process was faster, its mount is used. */
        r = daemon_find(store, ret_found);
        if (ret_found->mount_point)
            break;
    }
    return r;
}
