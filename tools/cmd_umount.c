/*
 * mintfs umount: a plain unmount, and the end of its daemon. A mount in use stays.
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "fs/base/log.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/serve.h"
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

static int take_away(const struct store *store, const char *typed)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_FREE char *place = NULL;
    int r = find_mount(store, typed, &found, &place);
    if (r < 0)
        return r;
    bool has_daemon = found.mount_point && !strcmp(found.mount_point, place);
    AUTO_FD int pidfd = has_daemon ? (int)syscall(SYS_pidfd_open, found.pid, 0) : -1;
    r = unmount(place);
    return r == 0 && pidfd >= 0 ? await_end(pidfd, found.pid) : r;
}

int cmd_umount(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        return command_usage(argv[0], "unknown option %s", argv[optind - 1]);
    }
    if (argc - optind > 1)
        return command_usage(argv[0], "takes one mount point, not also %s", argv[optind + 1]);
    AUTO_STORE struct store *store = NULL;
    int r = store_open(&store);
    if (r == 0)
        r = take_away(store, optind < argc ? argv[optind] : NULL);
    return command_status(r);
}
