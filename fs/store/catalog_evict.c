#include "fs/store/catalog_evict.h"

#include <sqlite3.h>

#include "fs/store/catalog_connection.h"
#include "fs/store/sql.h"

struct evicting {
    struct catalog_eviction *evictions;
    size_t count;
    catalog_mover *move;
    void *context;
};

/* Sets eviction->result to 0, or to -EAGAIN where the row has changed or is pinned. */
static int delete_row(sqlite3 *db, struct catalog_eviction *eviction)
{
    int r = sql_run(db,
                    "DELETE FROM templates WHERE key = ?1 AND NOT pinned"
                    " AND (?2 < 0 OR last_used_ns = ?2)",
                    "si", eviction->key, eviction->last_used_ns);
    if (r < 0)
        return r;
    eviction->result = sqlite3_changes(db) ? 0 : -EAGAIN;
    if (eviction->result == 0 || eviction->last_used_ns >= 0)
        return 0;
    /* A template without a row can be evicted as well. */
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    r = sql_prepare(db, &statement, "SELECT 1 FROM templates WHERE key = ?1", "s", eviction->key);
    if (r == 0 && sqlite3_step(statement) == SQLITE_DONE)
        eviction->result = 0;
    return r;
}

static int evict_one(sqlite3 *db, struct catalog_eviction *eviction,
                     const struct evicting *evicting)
{
    int r = sql_run(db, "SAVEPOINT one", "");
    if (r == 0)
        r = delete_row(db, eviction);
    if (r == 0 && eviction->result == 0)
        r = sql_run(db, "DELETE FROM names WHERE key = ?1", "s", eviction->key);
    if (r == 0 && eviction->result == 0)
        eviction->result = evicting->move(eviction->key, evicting->context);
    if (r == 0 && eviction->result < 0)
        r = sql_run(db, "ROLLBACK TO one", "");
    return r == 0 ? sql_run(db, "RELEASE one", "") : r;
}

static int evict(sqlite3 *db, void *arguments)
{
    const struct evicting *evicting = arguments;
    int r = sql_begin_fast(db);
    for (size_t i = 0; r == 0 && i < evicting->count; i++)
        r = evict_one(db, &evicting->evictions[i], evicting);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_evict(struct catalog *catalog, struct catalog_eviction *evictions, size_t count,
                  catalog_mover *move, void *context)
{
    struct evicting evicting = {
        .evictions = evictions, .count = count, .move = move, .context = context};
    return count ? catalog_use(catalog, evict, &evicting) : 0;
}
