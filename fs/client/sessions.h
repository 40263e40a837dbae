/*
 * The sessions of a store on all backends: those on its mount, those at rest, which the next mount
 * shows again, and plain copies.
 */
#ifndef MINTFS_CLIENT_SESSIONS_H
#define MINTFS_CLIENT_SESSIONS_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/client/backend.h"
#include "fs/mount/serve.h"
#include "fs/overlay/session.h"
#include "fs/store/store.h"

struct session_row {
    enum backend backend;
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
    char *path;         /* absolute, owned; NULL: at rest, no daemon serves it */
    char *scratch;      /* of a session at rest: the directory where it is stored, owned */
    int64_t bytes;      /* of its overlay; -1: not known (copies, at rest) */
    int64_t open_files; /* -1: not known (copies, at rest) */
};

struct session_table {
    struct session_row *items;
    size_t count;
    size_t capacity; /* of the vector (fs/base/vector.h) */
};

/* Errors are logged. */
MUST_CHECK int sessions_read(const struct store *store, struct session_table *ret_table);
void sessions_fini(struct session_table *table);
#define AUTO_SESSIONS CLEANUP(sessions_fini)

/*
 * The row of the session that a user names by ID, KEY/ID, NAME/ID or its path; a session at rest by
 * the path that it had while it was mounted. Errors are logged: -ENOENT, and -ENOTUNIQ for an ID of
 * several sessions.
 */
MUST_CHECK int sessions_find(const struct store *store, const struct session_table *table,
                             const char *text, const struct session_row **ret_row);

/* Checks a wanted ID, or makes a random one. Errors are logged: -EINVAL it is not an ID. */
MUST_CHECK int sessions_make_id(const char *wanted_or_null, char ret_id[SESSION_ID_MAX + 1]);

#endif
