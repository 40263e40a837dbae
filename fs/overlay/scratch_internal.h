/*
 * What a scratch is made of, for scratch.c, scratch_open.c and scratch_recover.c.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_INTERNAL_H
#define MINTFS_OVERLAY_SCRATCH_INTERNAL_H

#include "fs/base/lock.h"
#include "fs/overlay/lower_cache.h"
#include "fs/overlay/overlay_internal.h"
#include "fs/overlay/scratch_worker.h"
#include "fs/overlay/serials.h"
#include "fs/overlay/session_table.h"

struct scratch {
    const struct store *store;
    char *path;
    int dirfd;
    int logs_fd;
    bool has_kept_logs; /* logs of sessions that are not shown: their template cannot be read */
    bool is_recorded;   /* it is outside the store, which has a record of it (scratch_registry.h) */
    struct lock lock;
    struct blocks *blocks;
    uint64_t session_limit_blocks;
    char boot_id[BOOT_ID_SIZE + 1];
    struct session_list all;
    struct lower_cache lowers;
    struct scratch_worker worker;

    pthread_mutex_t mutex; /* guards what follows; the first lock in the order of session.h */
    struct session_table table;
    struct serials serials;
    uint64_t sessions_made;
};

#endif
