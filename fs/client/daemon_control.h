/*
 * Mounts as the commands handle them: taken away, restarted, started where they are needed.
 */
#ifndef MINTFS_CLIENT_DAEMON_CONTROL_H
#define MINTFS_CLIENT_DAEMON_CONTROL_H

#include <jansson.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/mount/serve.h"
#include "fs/store/store.h"

/*
 * While this is held no mount of the store starts: whoever comes second finds the first one ready.
 * Errors are said.
 */
MUST_CHECK int daemon_lock_start(const struct store *store, struct lock *lock);

/*
 * A plain unmount of `place`, or of the store's mount with NULL, and the end of its daemon. Errors
 * are said: -ENOENT nothing of ours there, -EBUSY in use, with the names of the processes.
 */
MUST_CHECK int daemon_take_away(const struct store *store, const char *place);

/*
 * The store's mount, if it can be reached from here: 1. One that is being started is waited for,
 * and for a moment one that is about to end. 0 where there is none; then ret_found has a place if
 * there is a daemon all the same: its mount is in another mount namespace, or it still serves files
 * that are open in one. Errors are logged.
 */
MUST_CHECK int daemon_find(const struct store *store, struct serve_found *ret_found);

/*
 * The same for a process that cannot do without the mount: a daemon that is about to end is waited
 * for as by daemon_claim().
 */
MUST_CHECK int daemon_await(const struct store *store, struct serve_found *ret_found);

/*
 * For a process that is to start the mount: 0 with the lock of daemon_lock_start() where the
 * store has no daemon, 1 with the lock and the daemon where it has one. A daemon that is about to
 * end is waited for, without the lock, for as long as a message says; then -EBUSY, logged.
 */
MUST_CHECK int daemon_claim(const struct store *store, struct lock *starting,
                            struct serve_found *ret_found);
/* -EIO. */
int daemon_say_unreachable(const struct store *store, const struct serve_found *found);

/*
 * What the mount says of itself, in the file behind its path (fs/mount/status.c); the caller owns it.
 * Nothing is said: -EBADMSG where it is no JSON, with the reason in ret_error if that is not NULL,
 * else why it cannot be opened.
 */
#define MOUNT_STATUS "/.mintfs/status.json"
MUST_CHECK int daemon_read_status(const char *mount_point, json_t **ret_status,
                                  json_error_t *ret_error);

/*
 * Mounts a store for which daemon_find() found nothing, at the default place; the mount goes by
 * itself after $MINTFS_IDLE (a time such as 10m, which is the default) without a request. Of two
 * that race one starts it. With `quiet` nothing is said of a mount that cannot be had. 1 and the
 * mount, 0 where none can be had (said why), or a negative errno.
 */
MUST_CHECK int daemon_start(const struct store *store, bool quiet, struct serve_found *ret_found);

#endif
