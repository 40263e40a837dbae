/*
 * What eviction asks its caller, and its outcome for a template.
 */
#ifndef MINTFS_STORE_GC_OUTCOME_H
#define MINTFS_STORE_GC_OUTCOME_H

#include "fs/base/strlist.h"
#include "fs/store/store.h"

/* Appends the keys of templates that are used by sessions which hold no lock. Logs its errors. */
typedef int gc_uses(const struct store *store, struct strlist *keys);

enum gc_outcome {
    GC_EVICTED,
    /* The others were not evicted. */
    GC_PINNED,
    GC_IN_USE,   /* by a session */
    GC_BUILDING, /* it is being built, or another process is evicting it */
    GC_KEPT,     /* among the newest of its name, or just built */
    GC_USED_NOW, /* used since its row was read */
    GC_GONE,     /* another process evicted it */
    GC_FAILED,   /* logged */
};

#endif
