/*
 * The catalog's part in eviction (fs/store/gc_batch.c).
 */
#ifndef MINTFS_STORE_CATALOG_EVICT_H
#define MINTFS_STORE_CATALOG_EVICT_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

struct catalog;

struct catalog_eviction {
    const char *key;
    int64_t last_used_ns; /* as it was read; -1: any */
    int result; /* 0: removed; -EAGAIN: used or pinned since it was read; else the result of
                 * `move` */
};

/*
 * Removes templates from the catalog and from the store in one transaction, so that no hit can be
 * counted in between. Each row that is not pinned and was not used since it was read is deleted
 * with its names, and `move` removes the template; if move fails, the row stays. The caller holds
 * the templates' locks. Needs no room on the disk. Errors are logged.
 */
typedef int catalog_mover(const char *key, void *context);
MUST_CHECK int catalog_evict(struct catalog *catalog, struct catalog_eviction *evictions,
                             size_t count, catalog_mover *move, void *context);

#endif
