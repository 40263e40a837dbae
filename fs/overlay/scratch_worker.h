/*
 * The scratch's thread does what no request should wait for: it returns freed storage to the file
 * system, sets the reserve aside again, and closes templates that no session uses.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_WORKER_H
#define MINTFS_OVERLAY_SCRATCH_WORKER_H

#include "fs/overlay/lower_cache.h"
#include "fs/overlay/overlay_internal.h"

struct scratch_worker {
    struct blocks *blocks;
    struct session_list *list;
    struct lower_cache *lowers;
    pthread_t thread;
    bool runs;
    pthread_mutex_t mutex; /* innermost; guards `wanted` and `stopping` */
    pthread_cond_t changed;
    bool wanted;
    bool stopping;
    atomic_bool closing; /* stops a trim that is running */
};

/* The blocks, the list and the cache are borrowed. */
MUST_CHECK int scratch_worker_start(struct scratch_worker *worker, struct blocks *blocks,
                                    struct session_list *list, struct lower_cache *lowers);
/* Ends the thread, if it runs. */
void scratch_worker_stop(struct scratch_worker *worker);
/* Tells the thread that there is work. Cheap. */
void scratch_worker_wake(struct scratch_worker *worker);

#endif
