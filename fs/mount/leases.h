/*
 * The leases of sessions: how a request sets one, and the thread that ends sessions whose time is
 * up or whose owner's process is gone. A session with an open file is never ended.
 */
#ifndef MINTFS_MOUNT_LEASES_H
#define MINTFS_MOUNT_LEASES_H

#include "fs/base/cleanup.h"
#include "fs/overlay/session.h"

struct server;

/*
 * Extended attributes that set a session's lease by setxattr(2) on its directory. The values are
 * decimal: for how many seconds from now it may live, and the PID of the process that owns it.
 */
#define LEASE_TTL_ATTRIBUTE "user.mintfs.ttl"
#define LEASE_OWNER_ATTRIBUTE "user.mintfs.owner"

/*
 * Handles SETXATTR of one of the two on a session's directory. `caller` is the PID of the
 * requesting process. -EOPNOTSUPP for other attributes, -EINVAL for a value that is not a valid
 * number, and the errors of lease_set_owner().
 */
MUST_CHECK int lease_set(struct node *node, int caller, const char *name, const char *value,
                         size_t size);
/*
 * Makes the process that `caller` knows as `number` the owner; the lease records the PID that it
 * has for the daemon. -EXDEV if the daemon cannot see into the caller's PID namespace; -ESRCH.
 */
MUST_CHECK int lease_set_owner(struct session_lease *lease, int caller, int number);

MUST_CHECK int lease_keeper_start(struct server *server);
void lease_keeper_stop(struct server *server);
/* To be called when a lease has changed. */
void lease_keeper_wake(struct server *server);

#endif
