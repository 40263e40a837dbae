/*
 * The catalog's part in eviction, and its sums.
 */
#include <sqlite3.h>
#include <string.h>

#include "fs/store/catalog_db.h"
#include "fs/store/catalog_internal.h"

/* ---- eviction ---- */

struct evicting {
    struct catalog_eviction *evictions;
    size_t count;
    catalog_mover *move;
    void *context;
};

/* Whatever it is, unless it is pinned: 0, or -EAGAIN. */
static int delete_row(sqlite3 *db, struct catalog_eviction *eviction)
{
    int r = catalog_db_run(db,
                           "DELETE FROM templates WHERE key = ?1 AND NOT pinned"
                           " AND (?2 < 0 OR last_used_ns = ?2)",
                           "si", eviction->key, eviction->last_used_ns);
    if (r < 0)
        return r;
    eviction->result = sqlite3_changes(db) ? 0 : -EAGAIN;
    if (eviction->result == 0 || eviction->last_used_ns >= 0)
        return 0;
    /* One that the catalog has not met can go as well. */
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    r = catalog_db_prepare(db, &statement, "SELECT 1 FROM templates WHERE key = ?1", "s",
                           eviction->key);
    if (r == 0 && sqlite3_step(statement) == SQLITE_DONE)
        eviction->result = 0;
    return r;
}

static int evict_one(sqlite3 *db, struct catalog_eviction *eviction,
                     const struct evicting *evicting)
{
    int r = catalog_db_run(db, "SAVEPOINT one", "");
    if (r == 0)
        r = delete_row(db, eviction);
    if (r == 0 && eviction->result == 0)
        r = catalog_db_run(db, "DELETE FROM names WHERE key = ?1", "s", eviction->key);
    if (r == 0 && eviction->result == 0)
        eviction->result = evicting->move(eviction->key, evicting->context);
    if (r == 0 && eviction->result < 0)
        r = catalog_db_run(db, "ROLLBACK TO one", "");
    return r == 0 ? catalog_db_run(db, "RELEASE one", "") : r;
}

static int evict(sqlite3 *db, void *arguments)
{
    const struct evicting *evicting = arguments;
    int r = catalog_begin(db, false);
    for (size_t i = 0; r == 0 && i < evicting->count; i++)
        r = evict_one(db, &evicting->evictions[i], evicting);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_evict(struct catalog *catalog, struct catalog_eviction *evictions, size_t count,
                  catalog_mover *move, void *context)
{
    struct evicting evicting = {
        .evictions = evictions, .count = count, .move = move, .context = context};
    return count ? catalog_use(catalog, evict, &evicting) : 0;
}

/* ---- sums ---- */

static int count_evicted(sqlite3 *db, void *arguments)
{
    const int64_t *counts = arguments;
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_db_run(db,
                           "INSERT INTO days(day, evicted, evicted_bytes)"
                           " VALUES(date('now', 'localtime'), ?1, ?2)"
                           " ON CONFLICT(day) DO UPDATE SET evicted = evicted + ?1,"
                           " evicted_bytes = evicted_bytes + ?2",
                           "ii", counts[0], counts[1]);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_count_evicted(struct catalog *catalog, uint64_t templates, uint64_t bytes)
{
    int64_t counts[] = {(int64_t)templates, (int64_t)bytes};
    return templates ? catalog_use(catalog, count_evicted, counts) : 0;
}

struct totals {
    uint64_t bytes;
    int64_t oldest_ns;
};

static int read_totals(sqlite3 *db, void *arguments)
{
    struct totals *totals = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = catalog_db_prepare(db, &statement,
                               "SELECT sum(size_bytes), min(last_used_ns) FROM templates", "");
    if (r < 0)
        return r;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return catalog_db_error(sqlite3_extended_errcode(db));
    totals->bytes = (uint64_t)sqlite3_column_int64(statement, 0);
    totals->oldest_ns = sqlite3_column_type(statement, 1) == SQLITE_NULL
                            ? INT64_MAX
                            : sqlite3_column_int64(statement, 1);
    return 0;
}

int catalog_totals(struct catalog *catalog, uint64_t *ret_bytes, int64_t *ret_oldest_ns)
{
    struct totals totals = {0};
    int r = catalog_use(catalog, read_totals, &totals);
    if (r < 0)
        return r;
    *ret_bytes = totals.bytes;
    *ret_oldest_ns = totals.oldest_ns;
    return 0;
}

struct day_listing {
    struct catalog_day *days;
    size_t count;
    size_t capacity;
};

static void day_listing_fini(struct day_listing *listing)
{
    free(listing->days);
}

static int list_days(sqlite3 *db, void *arguments)
{
    struct day_listing *listing = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    listing->count = 0;
    int r = catalog_db_prepare(db, &statement,
                               "SELECT day, hits, misses, builds, build_time_ns, saved_ns,"
                               " built_bytes, evicted, evicted_bytes, sessions, requests"
                               " FROM days ORDER BY day",
                               "");
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (listing->count == listing->capacity) {
            size_t capacity = listing->capacity ? 2 * listing->capacity : 32;
            struct catalog_day *days = reallocarray(listing->days, capacity, sizeof(*days));
            if (!days)
                return -ENOMEM;
            listing->days = days;
            listing->capacity = capacity;
        }
        struct catalog_day *day = &listing->days[listing->count++];
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        (void)snprintf(day->day, sizeof(day->day), "%s", text ? text : "");
        int64_t *const columns[] = {&day->hits,          &day->misses,        &day->builds,
                                    &day->build_time_ns, &day->saved_ns,      &day->built_bytes,
                                    &day->evicted,       &day->evicted_bytes, &day->sessions,
                                    &day->requests};
        for (size_t i = 0; i < ARRAY_LENGTH(columns); i++)
            *columns[i] = sqlite3_column_int64(statement, (int)i + 1);
    }
    if (r == 0 && code != SQLITE_DONE)
        r = catalog_db_error(sqlite3_extended_errcode(db));
    return r;
}

int catalog_each_day(struct catalog *catalog, catalog_day_visitor *visit, void *context)
{
    CLEANUP(day_listing_fini) struct day_listing listing = {.days = NULL};
    int r = catalog_use(catalog, list_days, &listing);
    for (size_t i = 0; r == 0 && i < listing.count; i++)
        r = visit(&listing.days[i], context);
    return r;
}

static int read_all(sqlite3 *db, void *arguments UNUSED)
{
    return catalog_db_check_tables(db);
}

int catalog_repair(struct catalog *catalog)
{
    return catalog_use(catalog, read_all, NULL);
}
