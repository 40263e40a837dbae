/*
 * Eviction: templates that go to keep the store within its limits, or because somebody says so.
 *
 * It is publishing the other way round. Under the template's use lock, taken exclusively and
 * without waiting, one rename moves templates/KEY into building/, in the very transaction that
 * deletes its row; so a hit that was counted is never evicted in the same breath, a session that is
 * being made either holds the use lock first or finds no template, and one who is killed leaves
 * nothing but what build_leftovers_sweep() takes away. Files are removed when the locks are free.
 *
 * The build lock is only looked at: a template has a row once its builder has entered it, and one
 * without a row whose builder still runs is none of catalog_reconcile()'s.
 *
 * Never evicted: what is pinned, what is being built, what a session stands on. Sessions of a
 * running daemon hold the use lock; those that lie in a scratch without a daemon, and plain copies,
 * are told by `uses`, which is asked while the locks are held.
 */
#ifndef MINTFS_STORE_GC_H
#define MINTFS_STORE_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/store/catalog_list.h"
#include "fs/store/gc_fate.h"
#include "fs/store/store.h"

/* Told of each template that was over a limit: of what goes as it goes, then of what stays. */
typedef void gc_reporter(const struct catalog_row *row, enum gc_fate fate, void *context);

#define GC_NO_SIZE UINT64_MAX
#define GC_NO_AGE (-1)

struct gc_options {
    uint64_t max_size_bytes; /* of all templates together, or GC_NO_SIZE */
    int64_t max_age_ns;      /* since the last use, or GC_NO_AGE */
    uint64_t keep;         /* so many of each name, those used last, stay whatever the limits say */
    const char *name;      /* only templates of that name are counted and evicted; or NULL */
    const char *spare_key; /* stays, since it was just built; or NULL */
    bool dry_run;
    gc_uses *uses;
    gc_reporter *report; /* or NULL */
    void *context;
};

struct gc_result {
    size_t evicted;
    uint64_t evicted_bytes;
    size_t left; /* of those that are counted */
    uint64_t left_bytes;
    size_t spared; /* were over a limit, and are in use, being built, pinned or kept */
    bool over;     /* what is left is still over the size limit */
    /* The clock is far from where it was at the last use, so that nothing got older: see age.h. */
    bool is_clock_in_doubt;
};

/*
 * Holds the limits. What is older than max_age goes first; then, while all together is larger than
 * max_size, what was used longest ago, and last those that a name stands for. Errors are said.
 */
MUST_CHECK int gc_run(const struct store *store, const struct gc_options *options,
                      struct gc_result *ret_result);

/* Whether gc_run() would have something to do; cheap. 1 or 0. */
MUST_CHECK int gc_is_due(const struct store *store, const struct gc_options *options);

/* While this is held nothing is evicted. Errors are logged. Taken before the other locks. */
MUST_CHECK int gc_lock(const struct store *store, struct lock *lock);

#endif
