#include "fs/store/gc.h"

#include <string.h>

#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/vector.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog_clock.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/gc_batch.h"
#include "fs/store/lock_names.h"

/* ---- limits ---- */

/* In the order of eviction: templates without a name first, then by their last use. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    bool left_named = left->row.names[0] != '\0';
    bool right_named = right->row.names[0] != '\0';
    if (left_named != right_named)
        return left_named ? 1 : -1;
    if (left->used_ns != right->used_ns)
        return left->used_ns < right->used_ns ? -1 : 1;
    return strcmp(left->row.key, right->row.key);
}

/* How many templates have had a name so far: as their label, or as one of their names. */
struct tally {
    const char *name;
    size_t length;
    size_t seen;
};
typedef VECTOR(struct tally) tally_list;

static int count_name(tally_list *tallies, const char *name, size_t length, size_t *ret_seen)
{
    for (size_t i = 0; i < tallies->count; i++) {
        struct tally *tally = &tallies->items[i];
        if (tally->length == length && !memcmp(tally->name, name, length)) {
            *ret_seen = ++tally->seen;
            return 0;
        }
    }
    *ret_seen = 1;
    return vector_push(tallies, ((struct tally){.name = name, .length = length, .seen = 1}));
}

/* `all` is in the catalog's order: the one used last first. */
static int mark_kept(struct candidates *all, uint64_t keep)
{
    tally_list tallies = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && keep && i < all->count; i++) {
        struct candidate *candidate = &all->items[i];
        size_t seen = 0;
        const char *label = candidate->row.label;
        if (label[0])
            r = count_name(&tallies, label, strlen(label), &seen);
        candidate->is_kept = seen && seen <= keep;
        for (const char *name = candidate->row.names; r == 0 && *name;) {
            size_t length = strcspn(name, " ");
            if (length != strlen(label) || memcmp(name, label, length) != 0) {
                r = count_name(&tallies, name, length, &seen);
                candidate->is_kept |= seen <= keep;
            }
            name += length + (name[length] == ' ');
        }
    }
    vector_fini(&tallies);
    return r;
}

static bool is_too_old(const struct candidate *candidate, const struct gc_options *options,
                       int64_t now_ns)
{
    /* A use in the future, recorded while the clock was wrong, counts as one just now. */
    return candidate->used_ns < now_ns && options->max_age_ns >= 0 &&
           now_ns - candidate->used_ns > options->max_age_ns;
}

/* Whether it is kept even if nothing uses it; GC_EVICTED: it is not. */
static enum gc_outcome spare(const struct candidate *candidate, const struct gc_options *options)
{
    if (candidate->row.pinned)
        return GC_PINNED;
    if (candidate->is_kept ||
        (options->spare_key && !strcmp(candidate->row.key, options->spare_key)))
        return GC_KEPT;
    return GC_EVICTED;
}

static void report(const struct gc_options *options, const struct candidate *candidate)
{
    if (options->report)
        options->report(&candidate->row, candidate->outcome, options->context);
}

static void account(const struct gc_options *options, const struct batch *batch, uint64_t *total,
                    struct gc_result *result)
{
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t bytes = batch->held[i].candidate->row.size_bytes;
        switch (batch->held[i].candidate->outcome) {
        case GC_EVICTED:
            report(options, batch->held[i].candidate);
            result->evicted++;
            result->evicted_bytes += bytes;
            __attribute__((fallthrough));
        case GC_GONE:
            *total -= bytes;
            result->left--;
            break;
        default:
            result->spared++;
            break;
        }
    }
}

int gc_lock(const struct store *store, struct lock *lock)
{
    int r;
    do
        r = lock_take(lock, store->locks_fd, LOCK_NAME_GC, LOCK_EXCLUSIVE, LOCK_WAIT);
    while (r == -EINTR);
    /* Without room for the lock two may run at once and evict too much, which beats none
     * running. */
    if (lock_lacks_room(r))
        return 0;
    return r < 0 ? store_log_error(store->path, r, "v1/locks") : 0;
}

struct pass {
    const struct store *store;
    const struct gc_options *options;
    struct candidates *all;
    struct gc_result *result;
    uint64_t total; /* the present size of all that are counted */
    int64_t now_ns;
};

static bool was_used_now(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->held[i].candidate->outcome == GC_USED_NOW)
            return true;
    return false;
}

/*
 * Evicts the candidates that are too old, or, `by_size`, as many in order as it takes to get below
 * the size limit. A batch that freed less than expected is followed by another. But where a
 * template has been used meanwhile, the order is no longer valid: 1, start over.
 */
static int run_pass(struct pass *pass, bool by_size)
{
    const struct gc_options *options = pass->options;
    size_t next = 0;
    int r = 0;
    while (r == 0 && next < pass->all->count) {
        CLEANUP(gc_batch_fini) struct batch batch = {.store = pass->store};
        uint64_t expected = pass->total;
        for (; next < pass->all->count && batch.count < BATCH; next++) {
            struct candidate *candidate = &pass->all->items[next];
            if (by_size && expected <= options->max_size_bytes)
                break;
            if (!candidate->is_counted || candidate->is_done ||
                (!by_size && !is_too_old(candidate, options, pass->now_ns)))
                continue;
            candidate->is_done = true;
            candidate->outcome = spare(candidate, options);
            if (candidate->outcome != GC_EVICTED) {
                pass->result->spared++;
                continue;
            }
            gc_batch_add(&batch, candidate);
            expected -= candidate->row.size_bytes;
        }
        if (batch.count == 0)
            break;
        r = gc_batch_evict(&batch, options->uses,
                           options->dry_run ? GC_BATCH_DRY_RUN : GC_BATCH_UNUSED);
        if (r == 0)
            account(options, &batch, &pass->total, pass->result);
        if (r == 0 && by_size && was_used_now(&batch))
            return 1;
    }
    return r;
}

static int enforce_limits(const struct store *store, const struct gc_options *options,
                          struct candidates *all, uint64_t total, struct gc_result *result)
{
    struct age_reading reading;
    int r = catalog_age_now(store->catalog, &reading);
    if (r < 0)
        return r;
    result->is_clock_in_doubt = reading.is_in_doubt;
    struct pass pass = {.store = store,
                        .options = options,
                        .all = all,
                        .result = result,
                        .total = total,
                        .now_ns = reading.now_ns};
    r = options->max_age_ns >= 0 ? run_pass(&pass, false) : 0;
    if (r == 0 && options->max_size_bytes != GC_NO_SIZE)
        r = run_pass(&pass, true);
    result->left_bytes = pass.total;
    result->over = options->max_size_bytes != GC_NO_SIZE && pass.total > options->max_size_bytes;
    return r;
}

/* Reports what exceeded a limit and is kept; once, however often gc had to start over. */
static void report_kept(const struct gc_options *options, const struct candidates *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].is_done && all->items[i].outcome != GC_EVICTED)
            report(options, &all->items[i]);
}

/* 1: start over, unless it is the last try. Adds to the result what was evicted, and sets the
 * rest. */
static int run_once(const struct store *store, const struct gc_options *options, bool is_last,
                    struct gc_result *result)
{
    CLEANUP(gc_candidates_fini) struct candidates all = {.items = NULL};
    int r = gc_candidates_read(store, &all);
    if (r == 0)
        r = mark_kept(&all, options->keep);
    if (r < 0)
        return r == -ENOMEM ? log_errno(r, "gc") : r;
    uint64_t total = 0;
    result->left = result->spared = 0;
    for (size_t i = 0; i < all.count; i++) {
        struct candidate *candidate = &all.items[i];
        candidate->is_counted =
            !options->name || catalog_row_has_name(&candidate->row, options->name);
        if (!candidate->is_counted)
            continue;
        total += candidate->row.size_bytes;
        result->left++;
    }
    if (all.count)
        qsort(all.items, all.count, sizeof(*all.items), compare_candidates);
    r = enforce_limits(store, options, &all, total, result);
    if (r == 0 || (r == 1 && is_last))
        report_kept(options, &all);
    return r;
}

int gc_run(const struct store *store, const struct gc_options *options,
           struct gc_result *ret_result)
{
    enum { TRIES = 10 };
    AUTO_LOCK struct lock lock = LOCK_INIT;
    struct gc_result result = {0};
    if (!options->dry_run)
        build_leftovers_sweep(store, NULL);
    int r = gc_lock(store, &lock);
    if (r < 0)
        return r;
    progress_start("evicting", 0);
    r = 1;
    for (int i = 0; r == 1 && i < TRIES; i++)
        r = run_once(store, options, i + 1 == TRIES, &result);
    progress_stop();
    /* At the end, since eviction may have to free the room for it. */
    if (r >= 0 && !options->dry_run)
        (void)!catalog_note_time(store->catalog);
    if (r < 0)
        return r;
    *ret_result = result;
    return 0;
}

int gc_is_due(const struct store *store, const struct gc_options *options)
{
    uint64_t bytes = 0;
    int64_t oldest_ns = 0;
    struct age_reading reading = {0};
    int r = catalog_totals(store->catalog, &bytes, &oldest_ns);
    if (r == 0)
        r = catalog_age_now(store->catalog, &reading);
    if (r < 0)
        return r;
    return (options->max_size_bytes != GC_NO_SIZE && bytes > options->max_size_bytes) ||
           (options->max_age_ns >= 0 && oldest_ns < reading.now_ns - options->max_age_ns);
}
