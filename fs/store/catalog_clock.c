#include "fs/store/catalog_clock.h"

#include <sqlite3.h>

#include "fs/base/clock.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/sql.h"

/* Catalogs of earlier versions have no table `clock`. */
static int has_clock(sqlite3 *db)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sql_prepare(db, &statement,
                        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'clock'", "");
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sql_error(sqlite3_extended_errcode(db));
    return code == SQLITE_ROW;
}

/* Where no reading is recorded yet, the last use is a reading that was accepted. */
static int read_clock(sqlite3 *db, struct age_clock *ret_clock)
{
    int exists = has_clock(db);
    if (exists < 0)
        return exists;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sql_prepare(db, &statement,
                        exists ? "SELECT coalesce((SELECT accepted_ns FROM clock),"
                                 " (SELECT max(last_used_ns) FROM templates), 0),"
                                 " coalesce((SELECT doubted_ns FROM clock), 0)"
                               : "SELECT coalesce((SELECT max(last_used_ns) FROM templates), 0), 0",
                        "");
    if (r < 0)
        return r;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return sql_error(sqlite3_extended_errcode(db));
    ret_clock->accepted_ns = sqlite3_column_int64(statement, 0);
    ret_clock->doubted_ns = sqlite3_column_int64(statement, 1);
    return 0;
}

int catalog_clock_tick(sqlite3 *db, struct age_reading *ret_reading)
{
    struct age_clock clock;
    int r = read_clock(db, &clock);
    if (r < 0)
        return r;
    struct age_reading reading = age_read(&clock, clock_real_ns());
    r = sql_run(db,
                "CREATE TABLE IF NOT EXISTS clock(id INTEGER PRIMARY KEY CHECK(id = 1),"
                " accepted_ns INTEGER NOT NULL, doubted_ns INTEGER NOT NULL)",
                "");
    if (r == 0)
        r = sql_run(db,
                    "INSERT INTO clock VALUES(1, ?1, ?2) ON CONFLICT(id) DO UPDATE SET"
                    " accepted_ns = ?1, doubted_ns = ?2",
                    "ii", clock.accepted_ns, clock.doubted_ns);
    /* Otherwise a template whose use a wrong clock recorded would stay new forever. */
    if (r == 0 && !reading.is_in_doubt)
        r = sql_run(db, "UPDATE templates SET last_used_ns = ?1 WHERE last_used_ns > ?2", "ii",
                    reading.now_ns, reading.now_ns + AGE_JUMP_NS);
    if (r == 0)
        *ret_reading = reading;
    return r;
}

static int read_age(sqlite3 *db, void *reading)
{
    struct age_clock clock;
    int r = read_clock(db, &clock);
    if (r == 0)
        *(struct age_reading *)reading = age_read(&clock, clock_real_ns());
    return r;
}

int catalog_age_now(struct catalog *catalog, struct age_reading *ret_reading)
{
    return catalog_use(catalog, read_age, ret_reading);
}

static int record_time(sqlite3 *db, void *reading)
{
    int r = sql_begin_fast(db);
    if (r == 0)
        r = catalog_clock_tick(db, reading);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_note_time(struct catalog *catalog)
{
    struct age_reading reading;
    return catalog_use(catalog, record_time, &reading);
}
