/*
 * The sessions of a scratch, by template and ID.
 *
 * Not safe from several threads: the scratch's lock guards it.
 */
#ifndef MINTFS_OVERLAY_SESSION_TABLE_H
#define MINTFS_OVERLAY_SESSION_TABLE_H

#include "fs/base/hash.h"
#include "fs/overlay/cookies.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/overlay_internal.h"

struct listed_session {
    struct cookie cookie; /* belongs to the ID: a session that replaces this one gets it */
    struct session *session;
    UT_hash_handle hh; /* by "KEY/ID" */
    char path[];
};

struct session_table {
    struct listed_session *sessions; /* in order of serials */
    struct cookies order;            /* of the same, as readdir shows them */
};

void session_table_init(struct session_table *table);
/* Does not free the sessions. */
void session_table_fini(struct session_table *table);

/* NULL if there is none. */
struct listed_session *session_table_find(struct session_table *table, const char *key,
                                          const char *id);
MUST_CHECK int session_table_add(struct session_table *table, struct session *session);
/* Removes the entry and discards the session. Its log must have been removed before. */
void session_table_discard(struct session_table *table, struct listed_session *listed);
/*
 * Gives the session the ID `to`. `replaced` is the session that has that ID, or NULL: it is
 * discarded, and the renamed session gets its lease. Nothing has changed on an error.
 */
MUST_CHECK int session_table_rename(struct session_table *table, struct listed_session *listed,
                                    struct listed_session *replaced, const char *to);
/* The sessions of one template after the position `cookie`, as session_readdir() lists names. */
void session_table_readdir(const struct session_table *table, const char *key, uint64_t cookie,
                           session_visitor *visit, void *context);

#endif
