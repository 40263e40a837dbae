/*
 * When a copy ends by itself. No daemon looks after copies, and nobody sees whether one is in use:
 * each command that makes or lists some judges all of them by their leases, perhaps from another
 * PID namespace than the owner's, or on another boot, or from another machine.
 *
 *     KEY/.lease-ID        the lease, one line of text, written before KEY/ID has its name
 *     .owners/NAME         a lock that an owner holds by flock(2) as long as it lives; beside KEY
 *
 * What decides, in this order: a time that was set; the owner's process, where it can be seen from
 * here; its lock, where it has taken one; its lease's age. An owner that cannot be seen is gone only
 * if it had a lock and the lock is free now; else the copy ends a day after the last sign of life,
 * which is its making, its reset, or a look from the owner's own namespace.
 *
 * What changes a lease, or removes a copy for it, holds an flock(2) on the directory KEY
 * (copies_lock_key()), so that it is the lease of the copy that has this ID.
 */
#ifndef MINTFS_CLIENT_COPY_LEASE_H
#define MINTFS_CLIENT_COPY_LEASE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

struct copy_lease {
    struct session_lease session;
    char owner_lock[SESSION_ID_MAX + 1]; /* a name below .owners, or "" */
};

/*
 * Replaces the lease of ID; NULL: it has none from now on. The owner's lock is an empty file, made
 * here if need be: its owner locks it, and then writes a byte to it.
 */
MUST_CHECK int copy_lease_write(int root_fd, int key_fd, const char *id,
                                const struct copy_lease *lease);
enum copy_state {
    COPY_STAYS,
    COPY_SHOWS_LIFE, /* which is worth writing down, by copy_lease_renew() */
    COPY_IS_OVER,
};
/* What is unreadable, or of a later version, stays. */
enum copy_state copy_lease_judge(int root_fd, int key_fd, const char *id);
/* Notes a sign of life, if the last one is old enough to be worth it. */
MUST_CHECK int copy_lease_renew(int key_fd, const char *id);
/* The ID that this file of KEY is the lease of, or NULL. */
const char *copy_lease_id_of(const char *name);
/* Whether a lease was being written to this file. */
bool copy_lease_is_half(const char *name);

/* Removes locks of owners that are gone, and the directory of them if it is empty then. */
void copy_owners_sweep(int root_fd);

#define COPY_OWNERS ".owners"

#endif
