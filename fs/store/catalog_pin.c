#include "fs/store/catalog_pin.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/log.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/names.h"
#include "fs/store/pin.h"
#include "fs/store/sql.h"

struct pin {
    const char *key;
    bool pinned;
};

static int set_pin(sqlite3 *db, void *arguments)
{
    const struct pin *pin = arguments;
    int r = sql_begin(db);
    if (r == 0)
        r = sql_run(db, "UPDATE templates SET pinned = ?1 WHERE key = ?2", "is",
                    (int64_t)pin->pinned, pin->key);
    bool is_known = r == 0 && sqlite3_changes(db) > 0;
    if (r == 0)
        r = sql_commit(db);
    return r < 0 ? r : is_known ? 0 : -ENOENT;
}

static int set_file(const struct store *store, const char *key, bool pinned)
{
    return pinned ? pin_create(store, key) : pin_remove(store, key);
}

static int set_both(struct catalog *catalog, struct pin pin)
{
    const struct store *store = catalog_store(catalog);
    AUTO_LOCK struct lock lock = LOCK_INIT;
    int locked = pin_lock(store, &lock);
    if (locked < 0)
        return locked;
    bool was_pinned = pin_exists(store, pin.key);
    int r = set_file(store, pin.key, pin.pinned);
    if (r < 0)
        return store_log_error(store->path, r, "v1/pins");
    r = catalog_use(catalog, set_pin, &pin);
    /* A key without a template keeps no pin, even if it had one. */
    bool restored = was_pinned && r != -ENOENT;
    if (r < 0 && restored != pin.pinned && set_file(store, pin.key, restored) < 0)
        log_warning("%s/v1/pins/%" PRI_KEY "... could not be restored", store->path, pin.key);
    return r;
}

int catalog_pin(struct catalog *catalog, const char *key)
{
    return set_both(catalog, (struct pin){.key = key, .pinned = true});
}

int catalog_unpin(struct catalog *catalog, const char *key)
{
    return set_both(catalog, (struct pin){.key = key, .pinned = false});
}
