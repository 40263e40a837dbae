/*
 * The daemon that serves a store on its mount, from outside: finding, awaiting, starting and
 * stopping it, and reading its status.
 */
#ifndef MINTFS_CLIENT_DAEMON_CONTROL_H
#define MINTFS_CLIENT_DAEMON_CONTROL_H

#include <jansson.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/mount/serve.h"
#include "fs/store/store.h"

/*
 * Takes the start lock. While it is held no mount of the store starts; a process that waited for it
 * finds the mount ready. Errors are logged.
 */
MUST_CHECK int daemon_lock_start(const struct store *store, struct lock *lock);

/*
 * Finds the store's mount. Waits while one is being started, and for a moment while one is about to
 * end. 1: it can be reached from here; 0: it cannot, but ret_found has a mount point if there is a
 * daemon whose mount is in another mount namespace, or which still serves files that are open in
 * one. Errors are logged.
 */
MUST_CHECK int daemon_find(const struct store *store, struct serve_found *ret_found);

/*
 * The same for a process that needs the mount: waits for the end of a daemon for as long as
 * daemon_claim() does.
 */
MUST_CHECK int daemon_await(const struct store *store, struct serve_found *ret_found);

/*
 * For a process that is to start the mount: takes the start lock. 0: the store has no daemon; 1: it
 * has one, ret_found. First waits, without the lock, for the end of a daemon that is about to end,
 * with a message that states for how long. -EBUSY (logged): it has not ended by then. After an
 * error the lock may be held as well; the caller releases it.
 */
MUST_CHECK int daemon_claim(const struct store *store, struct lock *starting,
                            struct serve_found *ret_found);

/* Logs that the daemon's mount cannot be reached from here; returns -EIO. */
int daemon_log_unreachable(const struct store *store, const struct serve_found *found);

/*
 * Unmounts `place`, or with NULL the store's mount, and awaits the end of its daemon. Errors are
 * logged: -ENOENT there is no mount of mintfs; -EBUSY it is in use, with the names of the
 * processes.
 */
MUST_CHECK int daemon_stop(const struct store *store, const char *place);

/* What daemon_start() logs if the store cannot be mounted. */
enum daemon_logging { DAEMON_LOG_FAILURE, DAEMON_LOG_NOTHING };

/*
 * Mounts a store for which daemon_find() found nothing, at the default mount point. The mount ends
 * after the time of $MINTFS_IDLE without a request. If several processes try, one of them starts
 * it. 1 and the mount; 0 if mounting is not possible, logged as `logging` asks; or a negative
 * errno.
 */
MUST_CHECK int daemon_start(const struct store *store, enum daemon_logging logging,
                            struct serve_found *ret_found);

#define MOUNT_STATUS "/.mintfs/status.json"
/*
 * Reads the status file below the mount point (fs/mount/status.c); the caller owns the result.
 * Errors are not logged: -EBADMSG the file is not JSON, with the reason in ret_error if that is not
 * NULL; else the file could not be read.
 */
MUST_CHECK int daemon_read_status(const char *mount_point, json_t **ret_status,
                                  json_error_t *ret_error);

#endif
