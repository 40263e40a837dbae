/*
 * Recovers a session from its change log.
 */
#ifndef MINTFS_OVERLAY_SESSION_REPLAY_H
#define MINTFS_OVERLAY_SESSION_REPLAY_H

#include "fs/overlay/overlay_internal.h"

struct recovery {
    struct session_list *list;
    int dirfd; /* of the logs */
    const char *name;
    struct blocks *blocks;
    uint64_t limit_blocks;
    const char *boot_id;
    int (*find_lower)(const char *key, struct lower **ret_lower, void *context);
    void *context;
    uint64_t rival; /* set where an old log's block is another's: the owner; else left alone */
};
/*
 * -ESTALE: of another boot; -ENOENT: its template is gone; -EXDEV: another was built under its key
 * since; -EBADMSG: damaged, or it names blocks that are not its own any more; -EPROTONOSUPPORT. 1: it
 * is there, but for its last change, which was damaged.
 */
MUST_CHECK int session_recover(struct recovery *recovery, struct session **ret_session);
/* Of a log that cannot be recovered now: what it tells of is kept from use, where it is free. */
MUST_CHECK int session_keep_blocks(struct recovery *recovery);

#endif
