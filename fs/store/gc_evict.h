/*
 * Evicts given templates, whatever the limits (fs/store/gc.h) are.
 */
#ifndef MINTFS_STORE_GC_EVICT_H
#define MINTFS_STORE_GC_EVICT_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/gc_outcome.h"
#include "fs/store/store.h"

/* `keys` are distinct, of 64 digits each; ret_outcomes[i] belongs to keys[i]. Errors are logged. */
MUST_CHECK int gc_evict(const struct store *store, gc_uses *uses, const struct strlist *keys,
                        enum gc_outcome *ret_outcomes);

/* 1: a session that exists uses one of the templates; 0: none does. Logs its errors. */
typedef int gc_is_used(const struct store *store, const struct strlist *keys);

/*
 * As gc_evict(). Since a daemon releases a template a moment after its last session has ended, it
 * tries busy templates again for a few seconds, unless a session exists that uses one of them.
 */
MUST_CHECK int gc_evict_wait(const struct store *store, gc_uses *uses, gc_is_used *is_used,
                             const struct strlist *keys, enum gc_outcome *ret_outcomes);

#endif
