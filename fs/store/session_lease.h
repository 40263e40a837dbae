/*
 * When a session ends by itself, on any backend: at a set time, or when its owner's process ends.
 *
 * On a mount, a session with neither ends after a day without use, and no session ends while a file
 * in it is open (fs/mount/leases.h). A scratch without a daemon is swept by `mintfs gc`
 * (fs/client/offline_sessions.h). For copies see fs/client/copy_lease.h: a copy with neither stays.
 */
#ifndef MINTFS_STORE_SESSION_LEASE_H
#define MINTFS_STORE_SESSION_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/process.h"

struct session_lease {
    int64_t ends_ns;         /* CLOCK_REALTIME; 0: no time is set */
    struct process_id owner; /* .pid is 0: no owner */
};

/* The owner becomes the process that has this PID now. Errors of process_identify(): -ESRCH,
 * -EXDEV. */
MUST_CHECK int session_lease_set_owner(struct session_lease *lease, int pid);
/* The session ends this many seconds from now. */
void session_lease_set_ttl(struct session_lease *lease, uint64_t seconds);

/* Time until the end that is set; 0 or less when it has passed, INT64_MAX when none is set. */
int64_t session_lease_time_left_ns(const struct session_lease *lease);

/* How long a session may stay unused if it has neither a time nor a living owner. */
extern const int64_t session_lease_idle_limit_ns;
/* What is left of that for a session last used at `used_ns`, by clock_monotonic_coarse_ns(). */
int64_t session_lease_idle_left_ns(int64_t used_ns);

/* Whether the set time or the owner's end has ended it. For sessions that no daemon serves. */
bool session_lease_is_over(const struct session_lease *lease);

#endif
