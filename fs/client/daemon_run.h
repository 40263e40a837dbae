/*
 * Mounts a store: serves it in this process, or in a daemon that this process starts and waits for.
 */
#ifndef MINTFS_CLIENT_DAEMON_RUN_H
#define MINTFS_CLIENT_DAEMON_RUN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/mount/serve.h"
#include "fs/store/store.h"

struct daemon_request {
    const char *place;          /* the mount point as typed; NULL: the default, see replaces */
    struct serve_options serve; /* its mount_point is filled in here */
    bool replaces;   /* ends a running daemon first, and takes its place if none is named */
    bool foreground; /* serves in this process */
};

/* Is called when the mount answers at this place. An error, which it has logged and returns, ends
 * the mount again. */
typedef int daemon_ready(const char *mount_point, void *context);

/*
 * Returns when the mount answers or, in the foreground, when it has ended. To be called once in a
 * process, before it opens anything else: the daemon inherits what is open. Errors are logged:
 * -EWOULDBLOCK the store is mounted already, and those of daemon_stop(), mountpoint_prepare() and
 * serve().
 */
MUST_CHECK int daemon_run(struct store *store, const struct daemon_request *request,
                          daemon_ready *ready, void *context);

#endif
