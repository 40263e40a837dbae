/*
 * The sessions that no running daemon serves: those that an unmount or a killed daemon left in the
 * store's scratch and in the recorded ones (scratch_registry.h). Sessions of another boot, or on a
 * medium that is gone, are not among them.
 */
#ifndef MINTFS_OVERLAY_SESSIONS_AT_REST_H
#define MINTFS_OVERLAY_SESSIONS_AT_REST_H

#include "fs/base/cleanup.h"
#include "fs/store/session_lease.h"
#include "fs/store/store.h"

struct session_at_rest {
    const char *key;
    const char *id;
    const char *scratch; /* the directory */
    struct session_lease lease;
};
/* Stops at the first non-zero answer and returns it. */
typedef int session_at_rest_visitor(const struct session_at_rest *session, void *context);
/* Every session on record, with or without a daemon. */
MUST_CHECK int sessions_each_recorded(const struct store *store, session_at_rest_visitor *visit,
                                      void *context);
/* The sessions in scratches that no daemon has open. */
MUST_CHECK int sessions_each_at_rest(const struct store *store, session_at_rest_visitor *visit,
                                     void *context);
/*
 * The same without their leases, which are 0. They are read from the roster of each scratch
 * (roster.h), and from the logs only where a daemon was killed, so that this stays fast with many
 * sessions.
 */
MUST_CHECK int sessions_each_id_at_rest(const struct store *store, session_at_rest_visitor *visit,
                                        void *context);

#endif
