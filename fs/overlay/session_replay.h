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
    uint64_t rival; /* set if a block of an old log belongs to another session: its owner */
};
/*
 * -ESTALE: it is of another boot; -ENOENT: its template was evicted; -EXDEV: its template was
 * rebuilt with other content; -EBADMSG: the log is damaged, or names blocks that no longer belong
 * to it; -EPROTONOSUPPORT: a later version wrote it. Returns 1 if the session was recovered without
 * its last change, which was damaged.
 */
MUST_CHECK int session_recover(struct recovery *recovery, struct session **ret_session);
/*
 * For a log that cannot be recovered now: marks the blocks that it names as taken, if they are
 * free.
 */
MUST_CHECK int session_keep_blocks(struct recovery *recovery);

#endif
