/*
 * The templates that a scratch has opened. They stay open for the next session that uses them.
 *
 * Safe from several threads. Its lock is taken before those of lower.h, and never while a template
 * is opened.
 */
#ifndef MINTFS_OVERLAY_LOWER_CACHE_H
#define MINTFS_OVERLAY_LOWER_CACHE_H

#include <pthread.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/lower.h"

struct lower_cache {
    const struct store *store;
    pthread_mutex_t mutex;       /* guards `listed` */
    struct listed_lower *listed; /* by key */
};

/* The store is borrowed. */
void lower_cache_init(struct lower_cache *cache, const struct store *store);
/* Releases all of them. */
void lower_cache_fini(struct lower_cache *cache);

/*
 * The template as it is in the store now, with a reference for the caller. Errors are those of
 * lower_open().
 */
MUST_CHECK int lower_cache_get(struct lower_cache *cache, const char *key,
                               struct lower **ret_lower);
/*
 * Releases those that no session uses and that have no other reference. Waits for the catalog, with
 * the lock held.
 */
void lower_cache_drop_unused(struct lower_cache *cache);

#endif
