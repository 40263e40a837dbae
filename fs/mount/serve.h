/*
 * Serving a store at a mount point, from the first lock taken to the last one released.
 */
#ifndef MINTFS_MOUNT_SERVE_H
#define MINTFS_MOUNT_SERVE_H

#include "fs/base/cleanup.h"
#include "fs/mount/running_mount.h"
#include "fs/mount/serve_options.h"
#include "fs/store/store.h"

/*
 * Serves until the mount is unmounted or SIGTERM, SIGINT or SIGHUP asks the daemon to stop. After a
 * signal it accepts no new opens, serves open files for grace_seconds, and leaves nothing behind.
 * After an unmount that leaves copies of the mount in other mount namespaces, it ends as soon as no
 * file is open.
 *
 * Calls `ready` once, when the mount answers requests. -EWOULDBLOCK (logged, with the existing
 * mount point) if the store or the scratch is already mounted. Starts threads and changes the
 * signal mask; may be called only once in a process.
 */
MUST_CHECK int serve(const struct store *store, const struct serve_options *options,
                     void (*ready)(void *context), void *context);

#endif
