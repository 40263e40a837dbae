/*
 * The sessions of a store as a person sees them: those of its mount, those that wait for the next
 * mount, and plain copies.
 */
#ifndef MINTFS_CLIENT_SESSIONS_H
#define MINTFS_CLIENT_SESSIONS_H

#include <stdbool.h>
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
    char *path;         /* absolute, owned; NULL: at rest, where no daemon shows it */
    char *scratch;      /* of one at rest, owned: where it lies */
    int64_t bytes;      /* of its own; -1: not known (copies, at rest) */
    int64_t open_files; /* -1: not known (copies, at rest) */
};

struct session_table {
    struct session_row *rows;
    size_t count;
    size_t room;
};

/* Errors are said. */
MUST_CHECK int sessions_read(const struct store *store, struct session_table *ret_table);
void sessions_fini(struct session_table *table);
#define AUTO_SESSIONS CLEANUP(sessions_fini)

/*
 * The row that a person means by ID, KEY/ID, NAME/ID or a session's path, which one at rest had
 * while it was mounted. Errors are said:
 * -ENOENT, and -ENOTUNIQ for an ID that several templates have.
 */
MUST_CHECK int sessions_find(const struct store *store, const struct session_table *table,
                             const char *text, const struct session_row **ret_row);

/* The ID that was asked for, if it is one, else a random one. Errors are said. */
MUST_CHECK int sessions_make_id(const char *wanted_or_null, char ret_id[SESSION_ID_MAX + 1]);

#endif
