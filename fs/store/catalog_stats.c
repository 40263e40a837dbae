#include "fs/store/catalog_stats.h"

#include <sqlite3.h>
#include <stdio.h>

#include "fs/base/vector.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/sql.h"

static int count_failure(sqlite3 *db, void *arguments UNUSED)
{
    int r = sql_begin_fast(db);
    if (r == 0)
        r = sql_run(db,
                    "INSERT INTO days(day, misses) VALUES(date('now', 'localtime'), 1)"
                    " ON CONFLICT(day) DO UPDATE SET misses = misses + 1",
                    "");
    return r == 0 ? sql_commit(db) : r;
}

int catalog_count_failure(struct catalog *catalog)
{
    return catalog_use(catalog, count_failure, NULL);
}

struct counts {
    const char *sql;
    int64_t first;
    int64_t second;
};

static int add_counts(sqlite3 *db, void *arguments)
{
    const struct counts *counts = arguments;
    int r = sql_begin_fast(db);
    if (r == 0)
        r = sql_run(db, counts->sql, "ii", counts->first, counts->second);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_count_use(struct catalog *catalog, uint64_t sessions, uint64_t requests)
{
    struct counts counts = {"INSERT INTO days(day, sessions, requests)"
                            " VALUES(date('now', 'localtime'), ?1, ?2)"
                            " ON CONFLICT(day) DO UPDATE SET sessions = sessions + ?1,"
                            " requests = requests + ?2",
                            (int64_t)sessions, (int64_t)requests};
    return sessions || requests ? catalog_use(catalog, add_counts, &counts) : 0;
}

int catalog_count_evicted(struct catalog *catalog, uint64_t templates, uint64_t bytes)
{
    struct counts counts = {"INSERT INTO days(day, evicted, evicted_bytes)"
                            " VALUES(date('now', 'localtime'), ?1, ?2)"
                            " ON CONFLICT(day) DO UPDATE SET evicted = evicted + ?1,"
                            " evicted_bytes = evicted_bytes + ?2",
                            (int64_t)templates, (int64_t)bytes};
    return templates ? catalog_use(catalog, add_counts, &counts) : 0;
}

struct totals {
    uint64_t bytes;
    int64_t oldest_ns;
};

static int read_totals(sqlite3 *db, void *arguments)
{
    struct totals *totals = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        sql_prepare(db, &statement, "SELECT sum(size_bytes), min(last_used_ns) FROM templates", "");
    if (r < 0)
        return r;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return sql_error(sqlite3_extended_errcode(db));
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

typedef VECTOR(struct catalog_day) day_listing;

static int list_days(sqlite3 *db, void *arguments)
{
    day_listing *listing = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    listing->count = 0;
    int r = sql_prepare(db, &statement,
                        "SELECT day, hits, misses, builds, build_time_ns, saved_ns,"
                        " built_bytes, evicted, evicted_bytes, sessions, requests"
                        " FROM days ORDER BY day",
                        "");
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct catalog_day day = {0};
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        (void)snprintf(day.day, sizeof(day.day), "%s", text ? text : "");
        int64_t *const columns[] = {
            &day.hits,        &day.misses,  &day.builds,        &day.build_time_ns, &day.saved_ns,
            &day.built_bytes, &day.evicted, &day.evicted_bytes, &day.sessions,      &day.requests};
        for (size_t i = 0; i < ARRAY_LENGTH(columns); i++)
            *columns[i] = sqlite3_column_int64(statement, (int)i + 1);
        r = vector_push(listing, day);
    }
    if (r == 0 && code != SQLITE_DONE)
        r = sql_error(sqlite3_extended_errcode(db));
    return r;
}

int catalog_each_day(struct catalog *catalog, catalog_day_visitor *visit, void *context)
{
    day_listing listing = {0};
    int r = catalog_use(catalog, list_days, &listing);
    for (size_t i = 0; r == 0 && i < listing.count; i++)
        r = visit(&listing.items[i], context);
    vector_fini(&listing);
    return r;
}
