/*
 * Sessions at rest: stored in a scratch that no daemon serves, after an unmount or a kill. The next
 * mount shows them again.
 *
 * Each function opens the scratch for a moment, as a daemon does, and holds the start lock
 * (daemon_lock_start()) meanwhile. Errors are logged.
 */
#ifndef MINTFS_CLIENT_OFFLINE_SESSIONS_H
#define MINTFS_CLIENT_OFFLINE_SESSIONS_H

#include "fs/base/cleanup.h"
#include "fs/client/sessions.h"
#include "fs/store/store.h"

/* Discards the session of a row without a path. -ENOENT: it is gone already. */
MUST_CHECK int offline_sessions_remove(const struct store *store, const struct session_row *row);

/* Discards the sessions whose leases have ended. Part of `mintfs gc` (gc_policy.h). */
MUST_CHECK int offline_sessions_sweep(const struct store *store);

#endif
