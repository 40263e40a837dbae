/*
 * The catalog brought in line with the store.
 */
#include <sqlite3.h>
#include <string.h>

#include "fs/base/lock.h"
#include "fs/base/strlist.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog_db.h"
#include "fs/store/catalog_internal.h"
#include "fs/store/lock_names.h"
#include "fs/store/template_dir.h"

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct catalog_row *)a)->key, ((const struct catalog_row *)b)->key);
}

struct reconciling {
    const struct store *store;
    const struct key_listing *known; /* by key */
    struct strlist fresh;            /* in the store, and not known */
};

static int find_fresh(const char *key, const char *same UNUSED, void *context)
{
    struct reconciling *work = context;
    struct catalog_row wanted = {.pinned = false};
    (void)snprintf(wanted.key, sizeof(wanted.key), "%s", key);
    if (work->known->count &&
        bsearch(&wanted, work->known->rows, work->known->count, sizeof(wanted), compare_rows))
        return 0;
    /* Published, and about to be entered by its builder. */
    char lock_name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    lock_name_for_build(key, lock_name);
    if (lock_holder(work->store->locks_fd, lock_name, holder, sizeof(holder)) == 1)
        return 0;
    return strlist_add(&work->fresh, key);
}

struct entering {
    const struct store *store;
    const struct strlist *keys;
    size_t entered;
};

static int enter_key(sqlite3 *db, struct entering *entering, const char *key)
{
    AUTO_MANIFEST struct manifest *manifest = NULL;
    int r = template_read_manifest(entering->store, key, &manifest);
    /* A damaged manifest has been logged; `mintfs verify --repair` evicts its template. */
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    entering->entered++;
    return catalog_db_enter(db, entering->store, manifest, FINGERPRINT_NONE);
}

static int enter_keys(sqlite3 *db, void *arguments)
{
    struct entering *entering = arguments;
    entering->entered = 0;
    int r = catalog_begin(db, false);
    for (size_t i = 0; r == 0 && i < entering->keys->count; i++) {
        /* Its builder may have entered it a moment ago, and as checked. */
        int64_t known = FINGERPRINT_NONE;
        r = catalog_row_fingerprint(db, entering->keys->items[i], &known);
        if (r == 0 && known == FINGERPRINT_NONE)
            r = enter_key(db, entering, entering->keys->items[i]);
    }
    return r == 0 ? catalog_commit(db) : r;
}

struct dropping {
    const struct store *store;
    const struct key_listing *known;
    size_t gone;
};

static int drop_gone(sqlite3 *db, void *arguments)
{
    struct dropping *dropping = arguments;
    dropping->gone = 0;
    int r = catalog_begin(db, false);
    for (size_t i = 0; r == 0 && i < dropping->known->count; i++) {
        const char *key = dropping->known->rows[i].key;
        if (template_exists(dropping->store, key))
            continue;
        dropping->gone++;
        r = catalog_db_run(db, "DELETE FROM templates WHERE key = ?1", "s", key);
        if (r == 0)
            r = catalog_db_run(db, "DELETE FROM names WHERE key = ?1", "s", key);
    }
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_reconcile(struct catalog *catalog, size_t *ret_entered, size_t *ret_gone)
{
    const struct store *store = catalog_store(catalog);
    CLEANUP(key_listing_fini) struct key_listing known = {.rows = NULL};
    struct reconciling work = {.store = store, .known = &known, .fresh = STRLIST_INIT};
    int r = catalog_list_keys(catalog, &known);
    if (r == 0)
        r = template_each_key(store, find_fresh, &work);
    struct entering entering = {.store = store, .keys = &work.fresh};
    if (r == 0 && work.fresh.count)
        r = catalog_use(catalog, enter_keys, &entering);
    strlist_fini(&work.fresh);
    struct dropping dropping = {.store = store, .known = &known};
    bool some_gone = false;
    for (size_t i = 0; r == 0 && !some_gone && i < known.count; i++)
        some_gone = !template_exists(store, known.rows[i].key);
    if (r == 0 && some_gone)
        r = catalog_use(catalog, drop_gone, &dropping);
    if (ret_entered)
        *ret_entered = entering.entered;
    if (ret_gone)
        *ret_gone = dropping.gone;
    return r;
}
