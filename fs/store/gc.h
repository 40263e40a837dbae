/*
 * Eviction of templates that exceed the limits of the store.
 *
 * Eviction reverses publishing. Under the template's use lock, taken exclusively and without
 * waiting, one rename moves templates/KEY into building/, within the transaction that deletes its
 * row. So a template whose hit was just counted is not evicted; a session that is being created
 * either holds the use lock first or finds no template; and a process that is killed leaves nothing
 * but what build_leftovers_sweep() removes. The files are removed after the locks are released.
 *
 * The build lock is not taken but only read: a template has a row as soon as its builder has
 * entered it, and catalog_reconcile() does not enter one whose builder still runs.
 *
 * Never evicted: templates that are pinned, being built, or used by a session. The sessions of a
 * running daemon hold the use lock; plain copies, and sessions in a scratch without a daemon, are
 * reported by `uses`, which is called while the locks are held.
 */
#ifndef MINTFS_STORE_GC_H
#define MINTFS_STORE_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/store/catalog_list.h"
#include "fs/store/gc_outcome.h"
#include "fs/store/store.h"

/* Called for each template that exceeded a limit: for evicted ones at once, for the others at the
 * end. */
typedef void gc_reporter(const struct catalog_row *row, enum gc_outcome outcome, void *context);

#define GC_NO_SIZE UINT64_MAX
#define GC_NO_AGE (-1)

struct gc_options {
    uint64_t max_size_bytes; /* of all templates together, or GC_NO_SIZE */
    int64_t max_age_ns;      /* since the last use, or GC_NO_AGE */
    uint64_t keep;           /* of each name, this many that were used last are kept in any case */
    const char *name;        /* count and evict only templates of this name; or NULL */
    const char *spare_key;   /* keep this one, which was just built; or NULL */
    bool dry_run;
    gc_uses *uses;
    gc_reporter *report; /* or NULL */
    void *context;
};

struct gc_result {
    size_t evicted;
    uint64_t evicted_bytes;
    size_t left; /* templates that were counted and remain */
    uint64_t left_bytes;
    size_t spared; /* exceeded a limit, but are in use, being built, pinned or kept */
    bool over;     /* the remaining templates still exceed the size limit */
    /* The clock is far from where it was at the last use, so no template counts as older: age.h. */
    bool is_clock_in_doubt;
};

/*
 * Enforces the limits. First evicts the templates that are older than max_age; then, while all
 * together exceed max_size, those that were used longest ago, named templates last. Errors are
 * logged.
 */
MUST_CHECK int gc_run(const struct store *store, const struct gc_options *options,
                      struct gc_result *ret_result);

/* 1: a limit is exceeded; 0: none is. Cheap. Errors are logged. */
MUST_CHECK int gc_is_due(const struct store *store, const struct gc_options *options);

/* While the lock is held nothing is evicted. It is taken before the other locks. On a disk that is
 * too full for a lock: 0, and nothing is locked. Errors are logged. */
MUST_CHECK int gc_lock(const struct store *store, struct lock *lock);

#endif
