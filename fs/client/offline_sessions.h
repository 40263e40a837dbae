/*
 * Sessions at rest: what lies in a scratch without a daemon, after an unmount or a kill, until the
 * next mount shows it again.
 *
 * Each function opens the scratch as a daemon does, for a moment; no mount starts meanwhile. Errors
 * are said.
 */
#ifndef MINTFS_CLIENT_OFFLINE_SESSIONS_H
#define MINTFS_CLIENT_OFFLINE_SESSIONS_H

#include "fs/base/cleanup.h"
#include "fs/client/sessions.h"
#include "fs/store/store.h"

/* Discards the session of that row, which has no path. -ENOENT: it is gone already. */
MUST_CHECK int offline_sessions_remove(const struct store *store, const struct session_row *row);

/* Discards those whose time is up, or whose owner's process is gone. */
MUST_CHECK int offline_sessions_sweep(const struct store *store);

#endif
