/*
 * Creates and discards sessions, for the scratch.
 */
#ifndef MINTFS_OVERLAY_SESSION_INTERNAL_H
#define MINTFS_OVERLAY_SESSION_INTERNAL_H

#include "fs/overlay/overlay_internal.h"

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
/*
 * The owner for a new session. It differs from the owner of any log of an older version, which is
 * that session's serial.
 */
MUST_CHECK int session_make_owner(uint64_t *ret_owner);
/*
 * Creates a session with a root and without a log, pinned once for the scratch that lists it. It
 * holds the template (lower_hold()), with a reference. Errors are those of lower_hold(), and
 * -ENOMEM.
 */
MUST_CHECK int session_new(const struct session_place *place, struct session **ret_session);
/*
 * Changes its ID and lease, and records both in the log. `replaced` is the serial of the session
 * that had this ID, or 0.
 */
MUST_CHECK int session_take_id(struct session *session, const char *id, uint64_t replaced,
                               const struct session_lease *lease);
/*
 * For a retired session: discards all nodes without references; the others are discarded with their
 * last reference.
 */
void session_discard(struct session *session);

#endif
