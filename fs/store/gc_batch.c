#include "fs/store/gc_batch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/vector.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog_evict.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/foreign.h"
#include "fs/store/lock_names.h"
#include "fs/store/template_dir.h"

/* ---- the catalog's rows, copied ---- */

void gc_candidates_fini(struct candidates *all)
{
    for (size_t i = 0; i < all->count; i++)
        catalog_row_fini(&all->items[i].row);
    vector_fini(all);
}

int gc_candidates_add(const struct catalog_row *row, void *context)
{
    struct candidates *all = context;
    struct candidate candidate = {.used_ns = row->last_used_ns};
    int r = vector_reserve(all, 1);
    if (r == 0)
        r = catalog_row_copy(row, &candidate.row);
    if (r == 0)
        all->items[all->count++] = candidate;
    return r;
}

/* The last use by a daemon's sessions: the time of the lock file (fs/base/lock.h); 0: no lock
 * file. */
static int64_t lock_time_ns(const struct store *store, const char *lock_name)
{
    struct stat status;
    if (fstatat(store->locks_fd, lock_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return clock_from_timespec(&status.st_mtim);
}

static int64_t use_time_ns(const struct store *store, const char *key)
{
    char name[KEY_LOCK_NAME_SIZE];
    lock_name_for_use(key, name);
    return lock_time_ns(store, name);
}

struct candidate *gc_candidates_find(const struct candidates *all, const char *key)
{
    for (size_t i = 0; i < all->count; i++)
        if (!strcmp(all->items[i].row.key, key))
            return &all->items[i];
    return NULL;
}

struct lock_scan {
    const struct store *store;
    struct candidates *all;
};

static int note_use(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    const struct lock_scan *scan = context;
    const char *key = lock_name_use_key(name);
    struct candidate *candidate = key ? gc_candidates_find(scan->all, key) : NULL;
    int64_t used_ns = candidate ? lock_time_ns(scan->store, name) : 0;
    if (candidate && used_ns > candidate->used_ns)
        candidate->used_ns = used_ns;
    return 0;
}

int gc_candidates_read(const struct store *store, struct candidates *all)
{
    struct lock_scan scan = {.store = store, .all = all};
    int r = catalog_reconcile(store->catalog);
    /* On a full disk templates without a row are entered later, when others have been evicted. */
    if (r == 0 || r == -ENOSPC)
        r = catalog_each(store->catalog, gc_candidates_add, all);
    return r < 0 ? r : dir_each(store->locks_fd, note_use, &scan);
}

/* ---- a batch ---- */

void gc_batch_fini(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        lock_release(&batch->held[i].use);
}

/* Whether a process holds the use lock; for a full disk, where the lock cannot be taken. */
static bool is_in_use(const struct store *store, const char *key)
{
    char name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    lock_name_for_use(key, name);
    return lock_holder(store->locks_fd, name, holder, sizeof(holder)) != 0;
}

/* GC_EVICTED: locked, and so far it can be evicted. */
static enum gc_outcome lock_one(const struct store *store, struct held *held,
                                enum gc_batch_mode mode)
{
    const char *key = held->candidate->row.key;
    char name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    lock_name_for_build(key, name);
    if (lock_holder(store->locks_fd, name, holder, sizeof(holder)) == 1)
        return GC_BUILDING;
    if (mode != GC_BATCH_FORCED && use_time_ns(store, key) > held->candidate->used_ns)
        return GC_USED_NOW;
    lock_name_for_use(key, name);
    int r = lock_take(&held->use, store->locks_fd, name, LOCK_EXCLUSIVE, LOCK_TRY);
    held->is_unlocked = lock_lacks_room(r);
    if (held->is_unlocked)
        r = is_in_use(store, key) ? -EWOULDBLOCK : 0;
    if (r == -EWOULDBLOCK)
        return GC_IN_USE;
    if (r < 0) {
        (void)store_log_error(store->path, r, "v1/locks");
        return GC_FAILED;
    }
    return template_exists(store, key) ? GC_EVICTED : GC_GONE;
}

struct held *gc_batch_find(struct batch *batch, const char *key)
{
    for (size_t i = 0; i < batch->count; i++)
        if (!strcmp(batch->held[i].candidate->row.key, key))
            return &batch->held[i];
    return NULL;
}

static int log_failure(const struct store *store, const char *key, int error)
{
    struct stat status;
    AUTO_FREE char *shown = template_path(store, key);
    if (!shown)
        return -ENOMEM;
    if ((error == -EACCES || error == -EPERM) &&
        fstatat(store->templates_fd, key, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_uid != geteuid())
        return foreign_log_path(shown, status.st_uid, shown);
    return log_errno(error, "cannot evict %s", shown);
}

static int move_aside(const char *key, void *context)
{
    struct batch *batch = context;
    struct held *held = gc_batch_find(batch, key);
    uint32_t random = 0;
    char aside[ASIDE_SIZE];
    if (!held || getrandom(&random, sizeof(random), 0) < 0)
        return -EIO;
    (void)snprintf(aside, sizeof(aside), "%s.%08x", key, random);
    int r = io_renameat_new(batch->store->templates_fd, key, batch->store->building_fd, aside);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return log_failure(batch->store, key, r);
    /*
     * Without the lock: a session whose creation began before the rename has locked it by now, and
     * one that begins later finds no template.
     */
    if (held->is_unlocked && is_in_use(batch->store, key)) {
        r = io_renameat_new(batch->store->building_fd, aside, batch->store->templates_fd, key);
        return r < 0 ? log_failure(batch->store, key, r) : -EBUSY;
    }
    memcpy(held->aside, aside, sizeof(aside));
    return 0;
}

static void mark_used(struct batch *batch, const struct strlist *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        struct held *held = gc_batch_find(batch, keys->items[i]);
        if (held && held->candidate->outcome == GC_EVICTED)
            held->candidate->outcome = GC_IN_USE;
    }
}

static int move_all(struct batch *batch, enum gc_batch_mode mode)
{
    struct catalog_eviction evictions[BATCH];
    struct held *moved[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct held *held = &batch->held[i];
        const struct catalog_row *row = &held->candidate->row;
        if (held->candidate->outcome != GC_EVICTED)
            continue;
        moved[count] = held;
        evictions[count++] = (struct catalog_eviction){
            .key = row->key,
            .last_used_ns = mode == GC_BATCH_FORCED ? -1 : row->last_used_ns,
        };
    }
    int r = catalog_evict(batch->store->catalog, evictions, count, move_aside, batch);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (evictions[i].result < 0)
            moved[i]->candidate->outcome = evictions[i].result == -EAGAIN  ? GC_USED_NOW
                                           : evictions[i].result == -EBUSY ? GC_IN_USE
                                                                           : GC_FAILED;
    return r;
}

static void remove_files(const struct batch *batch)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const char *aside = batch->held[i].aside;
        int r = aside[0] ? dir_remove_tree(batch->store->building_fd, aside) : 0;
        if (r < 0)
            build_leftovers_log(batch->store, aside, r);
        count += aside[0] != '\0';
        bytes += aside[0] ? batch->held[i].candidate->row.size_bytes : 0;
        progress_add(1);
    }
    if (catalog_count_evicted(batch->store->catalog, count, bytes) < 0)
        log_warning("mintfs stats does not count what was evicted");
}

int gc_batch_evict(struct batch *batch, gc_uses *uses, enum gc_batch_mode mode)
{
    AUTO_STRLIST struct strlist used = STRLIST_INIT;
    size_t locked = 0;
    for (size_t i = 0; i < batch->count; i++) {
        batch->held[i].candidate->outcome = lock_one(batch->store, &batch->held[i], mode);
        locked += batch->held[i].candidate->outcome == GC_EVICTED;
        if (batch->held[i].candidate->outcome != GC_EVICTED)
            lock_release(&batch->held[i].use);
    }
    int r = locked && uses ? uses(batch->store, &used) : 0;
    if (r == 0)
        mark_used(batch, &used);
    if (r == 0 && mode != GC_BATCH_DRY_RUN)
        r = move_all(batch, mode);
    for (size_t i = 0; i < batch->count; i++)
        lock_release(&batch->held[i].use);
    /* Also after a failure: templates that have been moved are not in use. */
    remove_files(batch);
    return r;
}

void gc_batch_add(struct batch *batch, struct candidate *candidate)
{
    batch->held[batch->count++] = (struct held){.candidate = candidate, .use = LOCK_INIT};
}
