/*
 * Resets and removes sessions, whichever backend they have.
 */
#ifndef MINTFS_CLIENT_SESSION_CHANGE_H
#define MINTFS_CLIENT_SESSION_CHANGE_H

#include "fs/base/cleanup.h"
#include "fs/client/sessions.h"

/* What is done to a session. Errors are logged: -ENOENT it does not exist any more. */
typedef int session_change(const struct store *store, const struct session_row *row);

/* Discards it. */
MUST_CHECK int session_remove(const struct store *store, const struct session_row *row);

/* Gives its path the template's files again, in one step; open files keep the old ones. A session
 * without a path, which no daemon serves, cannot be reset: -ENOENT. */
MUST_CHECK int session_reset(const struct store *store, const struct session_row *row);

/*
 * Applies the change to each session that a user names (sessions_find()). Each is tried; the first
 * error is returned.
 */
MUST_CHECK int sessions_change(const struct store *store, char *const *names, size_t count,
                               session_change *change);

#endif
