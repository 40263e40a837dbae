#include "fs/store/gc_evict.h"

#include <string.h>
#include <time.h>

#include "fs/base/lock.h"
#include "fs/base/progress.h"
#include "fs/store/catalog_list.h"
#include "fs/store/gc.h"
#include "fs/store/gc_batch.h"
#include "fs/store/template_dir.h"

static char empty[] = "";

int gc_evict(const struct store *store, gc_uses *uses, const struct strlist *keys,
             enum gc_outcome *ret_outcomes)
{
    CLEANUP(gc_candidates_fini) struct candidates all = {.items = NULL};
    AUTO_LOCK struct lock evicting = LOCK_INIT;
    int r = gc_lock(store, &evicting);
    if (r == 0)
        r = gc_candidates_read(store, &all);
    /* A template with a damaged manifest has no row. */
    for (size_t i = 0; r == 0 && i < keys->count; i++) {
        struct catalog_row row = {.file = empty, .names = empty, .label = empty, .made_by = empty};
        if (gc_candidates_find(&all, keys->items[i]) || !template_exists(store, keys->items[i]))
            continue;
        (void)snprintf(row.key, sizeof(row.key), "%s", keys->items[i]);
        r = gc_candidates_add(&row, &all);
    }
    progress_start("evicting", keys->count);
    for (size_t i = 0; r == 0 && i < keys->count;) {
        CLEANUP(gc_batch_fini) struct batch batch = {.store = store};
        size_t key_indexes[BATCH] = {0};
        for (; i < keys->count && batch.count < BATCH; i++) {
            struct candidate *candidate = gc_candidates_find(&all, keys->items[i]);
            ret_outcomes[i] = candidate && candidate->row.pinned ? GC_PINNED : GC_GONE;
            if (!candidate || candidate->row.pinned || gc_batch_find(&batch, keys->items[i]))
                continue;
            key_indexes[batch.count] = i;
            gc_batch_add(&batch, candidate);
        }
        r = gc_batch_evict(&batch, uses, GC_BATCH_FORCED);
        for (size_t j = 0; r == 0 && j < batch.count; j++)
            ret_outcomes[key_indexes[j]] = batch.held[j].candidate->outcome;
    }
    progress_stop();
    return r;
}

static bool is_busy(enum gc_outcome outcome)
{
    return outcome == GC_IN_USE || outcome == GC_BUILDING;
}

/* Evicts the busy ones again. 1: some are still busy. */
static int evict_again(const struct store *store, gc_uses *uses, gc_is_used *is_used,
                       const struct strlist *keys, enum gc_outcome *outcomes)
{
    enum { PAUSE_NS = 100 * 1000 * 1000 };
    AUTO_STRLIST struct strlist busy = STRLIST_INIT;
    AUTO_FREE enum gc_outcome *again = calloc(keys->count + 1, sizeof(*again));
    int r = again ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < keys->count; i++)
        if (is_busy(outcomes[i]))
            r = strlist_add(&busy, keys->items[i]);
    if (r < 0 || !busy.count)
        return r;
    r = is_used(store, &busy);
    if (r != 0)
        return r < 0 ? r : 0;
    (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    r = gc_evict(store, uses, &busy, again);
    for (size_t i = 0, next = 0; r == 0 && i < keys->count; i++)
        if (is_busy(outcomes[i]))
            outcomes[i] = again[next++];
    return r < 0 ? r : 1;
}

int gc_evict_wait(const struct store *store, gc_uses *uses, gc_is_used *is_used,
                  const struct strlist *keys, enum gc_outcome *ret_outcomes)
{
    enum { TRIES = 30 };
    int r = gc_evict(store, uses, keys, ret_outcomes);
    int more = r == 0;
    for (int i = 0; more > 0 && i < TRIES; i++)
        more = evict_again(store, uses, is_used, keys, ret_outcomes);
    return r < 0 ? r : more < 0 ? more : 0;
}
