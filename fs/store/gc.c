#include "fs/store/gc.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/store/sweep.h"
#include "fs/store/template.h"

static const char use_prefix[] = "use-";

enum {
    /* Locks are taken for so many at a time: a descriptor each. */
    BATCH = 64,
    ASIDE_SIZE = SHA256_HEX_LENGTH + 16,
};

/* ---- the catalog's rows, copied ---- */

struct candidate {
    struct catalog_row row; /* owns its strings */
    int64_t used_ns;        /* last, as the catalog or a daemon's lock says */
    bool is_counted;        /* for the limits: of the name that was asked for */
    bool is_kept;           /* by `keep` */
    bool is_done;           /* looked at */
};

struct candidates {
    struct candidate *items;
    size_t count;
    size_t capacity;
};

static void candidates_fini(struct candidates *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->items[i].row.file);
        free(all->items[i].row.names);
        free(all->items[i].row.label);
        free(all->items[i].row.made_by);
    }
    free(all->items);
}

static int add_candidate(const struct catalog_row *row, void *context)
{
    struct candidates *all = context;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 64;
        struct candidate *items = reallocarray(all->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        all->items = items;
        all->capacity = capacity;
    }
    struct candidate *candidate = &all->items[all->count++];
    *candidate = (struct candidate){.row = *row, .used_ns = row->last_used_ns};
    candidate->row.file = strdup(row->file);
    candidate->row.names = strdup(row->names);
    candidate->row.label = strdup(row->label);
    candidate->row.made_by = strdup(row->made_by);
    return candidate->row.file && candidate->row.names && candidate->row.label &&
                   candidate->row.made_by
               ? 0
               : -ENOMEM;
}

/* When a daemon's sessions used it last, by the lock that rests (fs/base/lock.h); 0: none does. */
static int64_t lock_time_ns(const struct store *store, const char *lock_name)
{
    struct stat status;
    if (fstatat(store->locks_fd, lock_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
}

static int64_t use_time_ns(const struct store *store, const char *key)
{
    char name[BUILD_LOCK_NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%s%.64s", use_prefix, key);
    return lock_time_ns(store, name);
}

static const struct candidate *find_candidate(const struct candidates *all, const char *key)
{
    for (size_t i = 0; i < all->count; i++)
        if (!strcmp(all->items[i].row.key, key))
            return &all->items[i];
    return NULL;
}

struct locks_look {
    const struct store *store;
    struct candidates *all;
};

static int note_use(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    const struct locks_look *look = context;
    if (strncmp(name, use_prefix, strlen(use_prefix)) != 0)
        return 0;
    struct candidate *candidate =
        (struct candidate *)(uintptr_t)find_candidate(look->all, name + strlen(use_prefix));
    int64_t used_ns = candidate ? lock_time_ns(look->store, name) : 0;
    if (candidate && used_ns > candidate->used_ns)
        candidate->used_ns = used_ns;
    return 0;
}

static int read_candidates(const struct store *store, struct candidates *all)
{
    struct locks_look look = {.store = store, .all = all};
    int r = catalog_reconcile(store->catalog, NULL, NULL);
    if (r == 0)
        r = catalog_each(store->catalog, add_candidate, all);
    return r < 0 ? r : dir_each(store->locks_fd, note_use, &look);
}

/* Whether one of the names, with spaces between, is this. */
static bool has_name(const struct catalog_row *row, const char *name)
{
    size_t length = strlen(name);
    if (!strcmp(row->label, name))
        return true;
    for (const char *at = row->names; (at = strstr(at, name)); at += length)
        if ((at == row->names || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

/* ---- a batch: locks first, then a look at who uses what, then the renames ---- */

struct held {
    const struct candidate *candidate;
    struct lock use;
    enum gc_fate fate;
    char aside[ASIDE_SIZE]; /* below building/; "" before it was moved */
};

struct batch {
    const struct store *store;
    struct held held[BATCH];
    size_t count;
};

static void batch_fini(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        lock_release(&batch->held[i].use);
}

/* GC_EVICTED: the lock is ours, and so far nothing speaks against it. */
static enum gc_fate lock_one(const struct store *store, struct held *held, bool forced)
{
    const char *key = held->candidate->row.key;
    char name[BUILD_LOCK_NAME_SIZE];
    char holder[64];
    sweep_lock_name(key, name);
    if (lock_holder(store->locks_fd, name, holder, sizeof(holder)) == 1)
        return GC_BUILDING;
    if (!forced && use_time_ns(store, key) > held->candidate->used_ns)
        return GC_USED_NOW;
    (void)snprintf(name, sizeof(name), "%s%.64s", use_prefix, key);
    int r = lock_take(&held->use, store->locks_fd, name, LOCK_EXCLUSIVE, false);
    if (r == -EWOULDBLOCK)
        return GC_IN_USE;
    if (r < 0) {
        (void)store_log_error(store->path, r, "v1/locks");
        return GC_FAILED;
    }
    return template_exists(store, key) ? GC_EVICTED : GC_GONE;
}

static struct held *find_held(struct batch *batch, const char *key)
{
    for (size_t i = 0; i < batch->count; i++)
        if (!strcmp(batch->held[i].candidate->row.key, key))
            return &batch->held[i];
    return NULL;
}

static int move_aside(const char *key, void *context)
{
    struct batch *batch = context;
    struct held *held = find_held(batch, key);
    uint32_t random = 0;
    char aside[ASIDE_SIZE];
    if (!held || getrandom(&random, sizeof(random), 0) < 0)
        return -EIO;
    (void)snprintf(aside, sizeof(aside), "%s.%08x", key, random);
    int r = io_renameat_new(batch->store->templates_fd, key, batch->store->building_fd, aside);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return log_errno(r, "cannot evict %s/v1/templates/%s", batch->store->path, key);
    memcpy(held->aside, aside, sizeof(aside));
    return 0;
}

static void mark_used(struct batch *batch, const struct strlist *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        struct held *held = find_held(batch, keys->items[i]);
        if (held && held->fate == GC_EVICTED)
            held->fate = GC_IN_USE;
    }
}

static int move_all(struct batch *batch, bool forced)
{
    struct catalog_eviction evictions[BATCH];
    struct held *of[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct held *held = &batch->held[i];
        const struct catalog_row *row = &held->candidate->row;
        if (held->fate != GC_EVICTED)
            continue;
        of[count] = held;
        evictions[count++] = (struct catalog_eviction){
            .key = row->key,
            .last_used_ns = forced ? -1 : row->last_used_ns,
            .size_bytes = (int64_t)row->size_bytes,
        };
    }
    int r = catalog_evict(batch->store->catalog, evictions, count, move_aside, batch);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (evictions[i].result < 0)
            of[i]->fate = evictions[i].result == -EAGAIN ? GC_USED_NOW : GC_FAILED;
    return r;
}

static void remove_files(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const char *aside = batch->held[i].aside;
        int r = aside[0] ? dir_remove_tree(batch->store->building_fd, aside) : 0;
        if (r < 0)
            log_warning("cannot remove %s/v1/building/%s: %s; the next build or gc will",
                        batch->store->path, aside, strerror(-r));
        progress_add(1);
    }
}

/* Fills in the fates of batch->count candidates. */
static int evict_batch(struct batch *batch, const struct gc_options *options, bool forced)
{
    AUTO_STRLIST struct strlist used = STRLIST_INIT;
    size_t locked = 0;
    for (size_t i = 0; i < batch->count; i++) {
        batch->held[i].fate = lock_one(batch->store, &batch->held[i], forced);
        locked += batch->held[i].fate == GC_EVICTED;
        if (batch->held[i].fate != GC_EVICTED)
            lock_release(&batch->held[i].use);
    }
    int r = locked && options->uses ? options->uses(batch->store, &used) : 0;
    if (r == 0)
        mark_used(batch, &used);
    if (r == 0 && !options->dry_run)
        r = move_all(batch, forced);
    for (size_t i = 0; i < batch->count; i++)
        lock_release(&batch->held[i].use);
    /* Also after a failure: what was moved is nobody's any more. */
    remove_files(batch);
    return r;
}

static void report(const struct gc_options *options, const struct batch *batch)
{
    for (size_t i = 0; options->report && i < batch->count; i++)
        options->report(&batch->held[i].candidate->row, batch->held[i].fate, options->context);
}

static void batch_add(struct batch *batch, const struct candidate *candidate)
{
    batch->held[batch->count++] = (struct held){.candidate = candidate, .use = LOCK_INIT};
}

/* ---- limits ---- */

/* What goes first stands first: those that no name stands for, and what was used longest ago. */
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

/* The names that a template counts under: its label, and those that stand for it. */
struct tally {
    const char *name;
    size_t length;
    size_t seen;
};

static int count_name(struct tally **tallies, size_t *count, const char *name, size_t length,
                      size_t *ret_seen)
{
    for (size_t i = 0; i < *count; i++)
        if ((*tallies)[i].length == length && !memcmp((*tallies)[i].name, name, length)) {
            *ret_seen = ++(*tallies)[i].seen;
            return 0;
        }
    struct tally *grown = reallocarray(*tallies, *count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    *tallies = grown;
    grown[(*count)++] = (struct tally){.name = name, .length = length, .seen = 1};
    *ret_seen = 1;
    return 0;
}

/* `all` comes as the catalog lists it: the one used last first. */
static int mark_kept(struct candidates *all, uint64_t keep)
{
    AUTO_FREE struct tally *tallies = NULL;
    size_t count = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && keep && i < all->count; i++) {
        struct candidate *candidate = &all->items[i];
        size_t seen = 0;
        const char *label = candidate->row.label;
        if (label[0])
            r = count_name(&tallies, &count, label, strlen(label), &seen);
        candidate->is_kept = seen && seen <= keep;
        for (const char *name = candidate->row.names; r == 0 && *name;) {
            size_t length = strcspn(name, " ");
            if (length != strlen(label) || memcmp(name, label, length) != 0) {
                r = count_name(&tallies, &count, name, length, &seen);
                candidate->is_kept |= seen <= keep;
            }
            name += length + (name[length] == ' ');
        }
    }
    return r;
}

static bool is_too_old(const struct candidate *candidate, const struct gc_options *options,
                       int64_t now_ns)
{
    return options->max_age_ns >= 0 && now_ns - candidate->used_ns > options->max_age_ns;
}

static bool is_spared(const struct candidate *candidate, const struct gc_options *options)
{
    return candidate->row.pinned || candidate->is_kept ||
           (options->spare_key && !strcmp(candidate->row.key, options->spare_key));
}

static void account(const struct batch *batch, uint64_t *total, struct gc_result *result)
{
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t bytes = batch->held[i].candidate->row.size_bytes;
        switch (batch->held[i].fate) {
        case GC_EVICTED:
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

static int lock_gc(const struct store *store, struct lock *lock)
{
    int r;
    do
        r = lock_take(lock, store->locks_fd, "gc", LOCK_EXCLUSIVE, true);
    while (r == -EINTR);
    return r < 0 ? store_log_error(store->path, r, "v1/locks") : 0;
}

struct pass {
    const struct store *store;
    const struct gc_options *options;
    struct candidates *all;
    struct gc_result *result;
    uint64_t total; /* what all that are counted take by now */
    int64_t now_ns;
};

static bool was_used_now(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->held[i].fate == GC_USED_NOW)
            return true;
    return false;
}

/*
 * Goes through the candidates in order, and evicts those that are too old, or, `by_size`, as many
 * as are too much. A batch that did not bring what it should have is followed by another; but where
 * one was used meanwhile, the order holds no more, and the next in it may be just what is wanted:
 * 1, start over.
 */
static int run_pass(struct pass *pass, bool by_size)
{
    const struct gc_options *options = pass->options;
    size_t next = 0;
    int r = 0;
    while (r == 0 && next < pass->all->count) {
        CLEANUP(batch_fini) struct batch batch = {.store = pass->store};
        uint64_t expected = pass->total;
        for (; next < pass->all->count && batch.count < BATCH; next++) {
            struct candidate *candidate = &pass->all->items[next];
            if (by_size && expected <= options->max_size_bytes)
                break;
            if (!candidate->is_counted || candidate->is_done ||
                (!by_size && !is_too_old(candidate, options, pass->now_ns)))
                continue;
            candidate->is_done = true;
            if (is_spared(candidate, options)) {
                pass->result->spared++;
                continue;
            }
            batch_add(&batch, candidate);
            expected -= candidate->row.size_bytes;
        }
        if (batch.count == 0)
            break;
        r = evict_batch(&batch, options, false);
        if (r == 0) {
            report(options, &batch);
            account(&batch, &pass->total, pass->result);
        }
        if (r == 0 && by_size && was_used_now(&batch))
            return 1;
    }
    return r;
}

static int hold_limits(const struct store *store, const struct gc_options *options,
                       struct candidates *all, uint64_t total, struct gc_result *result)
{
    struct pass pass = {.store = store,
                        .options = options,
                        .all = all,
                        .result = result,
                        .total = total,
                        .now_ns = catalog_now_ns()};
    int r = options->max_age_ns >= 0 ? run_pass(&pass, false) : 0;
    if (r == 0 && options->max_size_bytes != GC_NO_SIZE)
        r = run_pass(&pass, true);
    result->left_bytes = pass.total;
    result->over = options->max_size_bytes != GC_NO_SIZE && pass.total > options->max_size_bytes;
    return r;
}

/* 1: start over. What was evicted is added to the result, the rest is set. */
static int run_once(const struct store *store, const struct gc_options *options,
                    struct gc_result *result)
{
    CLEANUP(candidates_fini) struct candidates all = {.items = NULL};
    int r = read_candidates(store, &all);
    if (r == 0)
        r = mark_kept(&all, options->keep);
    if (r < 0)
        return r == -ENOMEM ? log_errno(r, "gc") : r;
    uint64_t total = 0;
    result->left = result->spared = 0;
    for (size_t i = 0; i < all.count; i++) {
        struct candidate *candidate = &all.items[i];
        candidate->is_counted = !options->name || has_name(&candidate->row, options->name);
        if (!candidate->is_counted)
            continue;
        total += candidate->row.size_bytes;
        result->left++;
    }
    if (all.count)
        qsort(all.items, all.count, sizeof(*all.items), compare_candidates);
    return hold_limits(store, options, &all, total, result);
}

int gc_run(const struct store *store, const struct gc_options *options,
           struct gc_result *ret_result)
{
    enum { TRIES = 10 };
    AUTO_LOCK struct lock lock = LOCK_INIT;
    struct gc_result result = {0};
    if (!options->dry_run)
        sweep_building(store, NULL);
    int r = lock_gc(store, &lock);
    if (r < 0)
        return r;
    progress_start("evicting", 0);
    r = 1;
    for (int i = 0; r == 1 && i < TRIES; i++)
        r = run_once(store, options, &result);
    progress_stop();
    if (r < 0)
        return r;
    *ret_result = result;
    return 0;
}

int gc_is_due(const struct store *store, const struct gc_options *options)
{
    uint64_t bytes = 0;
    int64_t oldest_ns = 0;
    int r = catalog_totals(store->catalog, &bytes, &oldest_ns);
    if (r < 0)
        return r;
    return (options->max_size_bytes != GC_NO_SIZE && bytes > options->max_size_bytes) ||
           (options->max_age_ns >= 0 && oldest_ns < catalog_now_ns() - options->max_age_ns);
}

/* ---- by key ---- */

static char empty[] = "";

int gc_evict(const struct store *store, const struct gc_options *options,
             const struct strlist *keys, enum gc_fate *ret_fates)
{
    CLEANUP(candidates_fini) struct candidates all = {.items = NULL};
    int r = read_candidates(store, &all);
    /* One with a damaged manifest is in no catalog. */
    for (size_t i = 0; r == 0 && i < keys->count; i++) {
        struct catalog_row row = {.file = empty, .names = empty, .label = empty, .made_by = empty};
        if (find_candidate(&all, keys->items[i]) || !template_exists(store, keys->items[i]))
            continue;
        (void)snprintf(row.key, sizeof(row.key), "%s", keys->items[i]);
        r = add_candidate(&row, &all);
    }
    progress_start("evicting", keys->count);
    for (size_t i = 0; r == 0 && i < keys->count;) {
        CLEANUP(batch_fini) struct batch batch = {.store = store};
        size_t of[BATCH] = {0};
        for (; i < keys->count && batch.count < BATCH; i++) {
            const struct candidate *candidate = find_candidate(&all, keys->items[i]);
            ret_fates[i] = candidate && candidate->row.pinned ? GC_PINNED : GC_GONE;
            if (!candidate || candidate->row.pinned || find_held(&batch, keys->items[i])) {
                if (candidate && options->report)
                    options->report(&candidate->row, ret_fates[i], options->context);
                continue;
            }
            of[batch.count] = i;
            batch_add(&batch, candidate);
        }
        r = evict_batch(&batch, options, true);
        for (size_t j = 0; r == 0 && j < batch.count; j++)
            ret_fates[of[j]] = batch.held[j].fate;
        if (r == 0)
            report(options, &batch);
    }
    progress_stop();
    return r;
}
