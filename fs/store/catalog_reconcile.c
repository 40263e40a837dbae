#include "fs/store/catalog_reconcile.h"

#include <sqlite3.h>
#include <string.h>

#include "fs/base/lock.h"
#include "fs/base/sha256.h"
#include "fs/base/strlist.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/catalog_db.h"
#include "fs/store/fingerprint.h"
#include "fs/store/lock_names.h"
#include "fs/store/sql.h"
#include "fs/store/template_dir.h"

static int list_keys(sqlite3 *db, void *arguments)
{
    struct strlist *keys = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    strlist_fini(keys);
    *keys = (struct strlist)STRLIST_INIT;
    int code = SQLITE_DONE;
    int r = sql_prepare(db, &statement, "SELECT key FROM templates ORDER BY key", "");
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        if (key && sha256_is_hex(key))
            r = strlist_add(keys, key);
    }
    return r == 0 && code != SQLITE_DONE ? sql_error(sqlite3_extended_errcode(db)) : r;
}

struct reconciling {
    const struct store *store;
    struct strlist known; /* in the catalog */
    struct strlist fresh; /* in the store, and not in the catalog */
    size_t position;      /* in `known`, which is sorted as the keys are visited */
};

static void reconciling_fini(struct reconciling *work)
{
    strlist_fini(&work->known);
    strlist_fini(&work->fresh);
}

static int find_fresh(const char *key, const char *same UNUSED, void *context)
{
    struct reconciling *work = context;
    char lock_name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    while (work->position < work->known.count && strcmp(work->known.items[work->position], key) < 0)
        work->position++;
    if (work->position < work->known.count && !strcmp(work->known.items[work->position], key))
        return 0;
    /* A builder that has published its template is about to enter it. */
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
    int r = sql_begin_fast(db);
    for (size_t i = 0; r == 0 && i < entering->keys->count; i++) {
        /* Its builder may have entered it in the meantime, as verified. */
        int64_t known = FINGERPRINT_NONE;
        r = catalog_row_fingerprint(db, entering->keys->items[i], &known);
        if (r == 0 && known == FINGERPRINT_NONE)
            r = enter_key(db, entering, entering->keys->items[i]);
    }
    return r == 0 ? sql_commit(db) : r;
}

struct dropping {
    const struct store *store;
    const struct strlist *known;
    size_t gone;
};

static int drop_gone(sqlite3 *db, void *arguments)
{
    struct dropping *dropping = arguments;
    dropping->gone = 0;
    int r = sql_begin_fast(db);
    for (size_t i = 0; r == 0 && i < dropping->known->count; i++) {
        const char *key = dropping->known->items[i];
        if (template_exists(dropping->store, key))
            continue;
        dropping->gone++;
        r = sql_run(db, "DELETE FROM templates WHERE key = ?1", "s", key);
        if (r == 0)
            r = sql_run(db, "DELETE FROM names WHERE key = ?1", "s", key);
    }
    return r == 0 ? sql_commit(db) : r;
}

int catalog_reconcile(struct catalog *catalog)
{
    const struct store *store = catalog_store(catalog);
    CLEANUP(reconciling_fini) struct reconciling work = {.store = store};
    int r = catalog_use(catalog, list_keys, &work.known);
    if (r == 0)
        r = template_each_key(store, find_fresh, &work);
    struct entering entering = {.store = store, .keys = &work.fresh};
    if (r == 0 && work.fresh.count)
        r = catalog_use(catalog, enter_keys, &entering);
    struct dropping dropping = {.store = store, .known = &work.known};
    bool some_gone = false;
    for (size_t i = 0; r == 0 && !some_gone && i < work.known.count; i++)
        some_gone = !template_exists(store, work.known.items[i]);
    return r == 0 && some_gone ? catalog_use(catalog, drop_gone, &dropping) : r;
}
