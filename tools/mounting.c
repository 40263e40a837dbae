#include "tools/mounting.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fs/base/log.h"
#include "fs/mount/mountpoint.h"
#include "fs/store/config.h"
#include "tools/command.h"

enum { DAEMON_END_MS = 30 * 1000 };

/* Where to unmount, and the daemon if it is this store's. */
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
    /* A dead mount has no daemon to tell where it was. */
    r = mountpoint_default(ret_place);
    if (r == 0 && mountpoint_state(*ret_place) != MOUNT_STALE)
        return log_fail(ENOENT, "the store %s is not mounted", store->path);
    return r;
}

static int unmount(const char *place)
{
    switch (mountpoint_state(place)) {
    case MOUNT_NONE:
        return log_fail(ENOENT, "nothing is mounted at %s", place);
    case MOUNT_FOREIGN:
        return log_fail(ENOENT, "what is mounted at %s is not ours: left alone", place);
    case MOUNT_STALE: {
        int r = mountpoint_unmount(place, true);
        return r < 0 ? log_errno(r, "cannot take the dead mount at %s away", place) : 0;
    }
    case MOUNT_OURS:
        break;
    }
    int r = mountpoint_unmount(place, false);
    if (r == -EBUSY) {
        AUTO_FREE char *users = mountpoint_users(place);
        return log_fail(EBUSY, "%s is in use%s%s", place, users ? " by " : "",
                        users ? users : ": close what is open there, and try again");
    }
    return r < 0 ? log_errno(r, "cannot unmount %s", place) : 0;
}

static int await_end(int pidfd, int pid)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&poll_fd, 1, DAEMON_END_MS);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : log_fail(ETIMEDOUT, "the daemon (process %d) has not ended yet", pid);
}

int mounting_take_away(const struct store *store, const char *typed)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_FREE char *place = NULL;
    int r = find_mount(store, typed, &found, &place);
    if (r < 0)
        return r;
    bool has_daemon = place && found.mount_point && !strcmp(found.mount_point, place);
    AUTO_FD int pidfd = has_daemon ? (int)syscall(SYS_pidfd_open, found.pid, 0) : -1;
    r = unmount(place);
    return r == 0 && pidfd >= 0 ? await_end(pidfd, found.pid) : r;
}

/* ---- starting ---- */

static int idle_option(char *ret_text, size_t size)
{
    uint64_t seconds;
    int r = config_get_number(SETTING_IDLE, &seconds);
    if (r < 0)
        return r;
    /* 0: it never goes by itself. */
    (void)snprintf(ret_text, size, "idle=%u", seconds > INT32_MAX ? 0 : (unsigned)seconds);
    return 0;
}

/* What a started mount says, for the case that it fails. It ends when the daemon has detached. */
static void read_complaint(int fd, char *ret_text, size_t size)
{
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 &&
           ((n = read(fd, ret_text + used, size - 1 - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    ret_text[used] = '\0';
}

/*
 * Runs `mintfs mount` of this very program; its exit status, or a negative errno. That another
 * process was faster is no complaint.
 */
static int run_mount(char *option)
{
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
        return log_errno(error, "cannot run mintfs mount");
    char complaint[2048];
    (void)close(steal_fd(&write_end));
    read_complaint(read_end, complaint, sizeof(complaint));
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (!WIFEXITED(status) ||
        (WEXITSTATUS(status) != EXIT_DONE && WEXITSTATUS(status) != EXIT_BUSY))
        (void)fputs(complaint, stderr);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

int mounting_find_or_start(const struct store *store, struct serve_found *ret_found)
{
    int r = serve_find(store, ret_found);
    if (r != 0)
        return r < 0 ? log_errno(r, "cannot look into %s/v1/locks", store->path) : r;
    char option[32];
    r = idle_option(option, sizeof(option));
    if (r == 0)
        r = run_mount(option);
    if (r < 0)
        return r;
    /* Whoever else started it meanwhile has done as well. */
    return r == EXIT_DONE || r == EXIT_BUSY ? serve_find(store, ret_found) : 0;
}
