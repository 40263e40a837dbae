/*
 * Leases of plain copies: when a copy ends by itself. No daemon watches copies, and nobody sees
 * whether one is in use. Instead, each command that makes or lists copies, and `mintfs gc`, judges
 * all of them by their leases (copies_sweep()), perhaps in another PID namespace than the owner's,
 * after a reboot, or on another machine.
 *
 *     KEY/.lease-ID        the lease, one line of text, written before KEY/ID gets its name
 *     .owners/NAME         a file that an owner locks by flock(2) as long as it lives; beside KEY
 *
 * A judgement considers, in this order: a time that was set; the owner's process, if it is visible
 * from here; its lock, if it has taken one; the age of the lease. An owner that is not visible is
 * considered gone only if it had a lock and the lock is free now. Otherwise the copy ends a day
 * after the last sign of life: its creation, its reset, or a judgement in the owner's own
 * namespace.
 *
 * To change a lease, or to remove a copy because of its lease, hold the lock of the directory KEY
 * (copy_key_lock()), so that the lease and the ID belong to the same copy.
 */
#ifndef MINTFS_CLIENT_COPY_LEASE_H
#define MINTFS_CLIENT_COPY_LEASE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

#define COPY_OWNERS ".owners"

struct copy_lease {
    struct session_lease session;
    char owner_lock[SESSION_ID_MAX + 1]; /* a name below .owners, or "" */
};

/*
 * Replaces the lease of ID, or removes it if `lease` is NULL. Creates the owner's lock as an empty
 * file if necessary: its owner locks it, and then writes a byte into it.
 */
MUST_CHECK int copy_lease_write(int root_fd, int key_fd, const char *id,
                                const struct copy_lease *lease);
/* Records a sign of life, if the one on record is old enough. */
MUST_CHECK int copy_lease_renew(int key_fd, const char *id);

enum copy_state {
    COPY_STAYS,
    COPY_SHOWS_LIFE, /* it stays, and should be renewed (copy_lease_renew()) */
    COPY_IS_OVER,
};
/*
 * A copy stays if it has no lease, or one that is unreadable or was written by a later version.
 */
enum copy_state copy_lease_judge(int root_fd, int key_fd, const char *id);

/* If `name`, of a file in KEY, is that of a lease: the ID of its copy. Else NULL. */
const char *copy_lease_id_of(const char *name);
/* Whether `name` is that of a lease that was not written completely. */
bool copy_lease_is_unfinished(const char *name);

/* The path of the file that the owner of the copy at `path` locks; owned by the caller. -ENOMEM. */
MUST_CHECK int copy_owner_lock_path(const char *path, const char *owner_lock, char **ret_path);
/* Removes the locks of owners that are gone, and the directory of locks if it is empty then. */
void copy_owners_sweep(int root_fd);

#endif
