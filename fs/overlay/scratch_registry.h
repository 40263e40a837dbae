/*
 * The scratches of a store, and the sessions in them that no running daemon holds: those that
 * stayed after an unmount or a kill.
 *
 * A scratch elsewhere than in the store is known by a record: v1/scratches/DIGITS, a file with its
 * path, written before the first session can be made in it, and taken away when it is closed
 * without sessions. What lies on a medium that is gone, or is of another boot, counts no more.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_REGISTRY_H
#define MINTFS_OVERLAY_SCRATCH_REGISTRY_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/overlay/session.h"
#include "fs/store/store.h"

/* A session that lies in a scratch without a daemon. */
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
/* Those of scratches that no daemon has open. */
MUST_CHECK int sessions_each_at_rest(const struct store *store, session_at_rest_visitor *visit,
                                     void *context);
/*
 * The same without their leases, which are 0: from the roster of each scratch (roster.h), so that
 * it does not take longer the more sessions there are. Only where a daemon was killed the logs are
 * read.
 */
MUST_CHECK int sessions_each_id_at_rest(const struct store *store, session_at_rest_visitor *visit,
                                        void *context);

/* Writes and removes the record of a scratch; `path` is absolute. */
MUST_CHECK int scratch_registry_add(const struct store *store, const char *path);
MUST_CHECK int scratch_registry_remove(const struct store *store, const char *path);

/* Each scratch elsewhere that is on record, whether or not it is still there. */
typedef int scratch_registry_visitor(const char *path, void *context);
MUST_CHECK int scratch_registry_each(const struct store *store, scratch_registry_visitor *visit,
                                     void *context);

#endif
