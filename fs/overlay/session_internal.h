/*
 * Making and discarding sessions, for the scratch.
 */
#ifndef MINTFS_OVERLAY_SESSION_INTERNAL_H
#define MINTFS_OVERLAY_SESSION_INTERNAL_H

#include "fs/overlay/overlay_internal.h"

/*
 * A session with its root and without a log, pinned once for the
 * scratch that lists it. A reference to the lower is kept, and it is held.
 */
struct session_place {
    struct session_list *list;
    struct blocks *blocks;
    struct lower *lower;
    const char *id;
    uid_t uid;
    gid_t gid;
    uint64_t serial;
    uint64_t owner;
    uint64_t limit_blocks;
};
/* For a new one. Never the owner of a log of an older version, which is its serial. */
MUST_CHECK int session_make_owner(uint64_t *ret_owner);
MUST_CHECK int session_new(const struct session_place *place, struct session **ret_session);
/* Takes an ID, with a lease: that of the session of that serial, whose place it takes (0: of none).
 * Recorded. */
MUST_CHECK int session_take_id(struct session *session, const char *id, uint64_t replaced,
                               const struct session_lease *lease);
/* Of a retired one: all that nobody refers to is freed, the rest when that ends. */
void session_discard(struct session *session);

#endif
