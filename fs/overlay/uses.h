/*
 * Which templates sessions use that no daemon's lock speaks for: those that lie in a scratch
 * without a daemon, after an unmount or a kill, and plain copies, which need it for a reset.
 *
 * A scratch elsewhere than in the store is known by a record: v1/scratches/DIGITS, a file with its
 * path, written before the first session can be made in it, and taken away when it is closed
 * without sessions. What lies on a medium that is gone, or is of another boot, counts no more.
 */
#ifndef MINTFS_OVERLAY_USES_H
#define MINTFS_OVERLAY_USES_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/session.h"
#include "fs/store/store.h"
#include "fs/store/strlist.h"

/*
 * Appends their keys; some may come twice. Whoever holds a template's use lock exclusively and then
 * asks gets all sessions of it: a daemon writes a session's log before it lets go of its shared
 * lock. Errors are said: -EPROTONOSUPPORT where a later mintfs wrote a log.
 */
MUST_CHECK int uses_gather(const struct store *store, struct strlist *keys);

/* A session that lies in a scratch without a daemon. */
struct session_at_rest {
    const char *key;
    const char *id;
    const char *scratch; /* the directory */
    struct session_lease lease;
};
/* Stops at the first non-zero answer and returns it. */
typedef int uses_visitor(const struct session_at_rest *session, void *context);
MUST_CHECK int uses_each_at_rest(const struct store *store, uses_visitor *visit, void *context);
/*
 * The same without their leases, which are 0: from the roster of each scratch (roster.h), so that
 * it does not take longer the more sessions there are. Only where a daemon was killed the logs are
 * read.
 */
MUST_CHECK int uses_each_id_at_rest(const struct store *store, uses_visitor *visit, void *context);

/* Writes and removes the record of a scratch; `path` is absolute. */
MUST_CHECK int uses_record_scratch(const struct store *store, const char *path);
MUST_CHECK int uses_forget_scratch(const struct store *store, const char *path);

/* Each scratch elsewhere that is on record, whether or not it is still there. */
typedef int uses_scratch_visitor(const char *path, void *context);
MUST_CHECK int uses_each_scratch(const struct store *store, uses_scratch_visitor *visit,
                                 void *context);

#endif
