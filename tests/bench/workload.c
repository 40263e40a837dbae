#include "tests/bench/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 60, TEXT_BYTES = 180, ROWS_AT_ONCE = 1000, BUSY_MS = 10000 };

static _Noreturn void fail(sqlite3 *database, const char *what)
{
    (void)fprintf(stderr, "session_bench: %s: %s\n", what, sqlite3_errmsg(database));
    exit(1);
}

static void run(sqlite3 *database, const char *sql)
{
    if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail(database, sql);
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
        fail(database, sql);
    return statement;
}

/* Steps to the end, and returns the number of rows. */
static unsigned drain(sqlite3 *database, sqlite3_stmt *statement)
{
    unsigned rows = 0;
    int r;
    while ((r = sqlite3_step(statement)) == SQLITE_ROW)
        rows++;
    if (r != SQLITE_DONE)
        fail(database, sqlite3_sql(statement));
    sqlite3_reset(statement);
    return rows;
}

static int64_t ask_number(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = prepare(database, sql);
    if (sqlite3_step(statement) != SQLITE_ROW)
        fail(database, sql);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static sqlite3 *open_database(const char *path)
{
    sqlite3 *database;
    if (sqlite3_open(path, &database) != SQLITE_OK)
        fail(database, path);
    sqlite3_busy_timeout(database, BUSY_MS);
    return database;
}

/* ---- making a template ---- */

static void add_rows(sqlite3 *database, unsigned table, unsigned count)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql),
                   "with recursive n(i) as (select 1 union all select i + 1 from n where i < %u)"
                   " insert into t%02u(k, v) select abs(random()) %% 1000000, hex(randomblob(%d))"
                   " from n",
                   count, table, TEXT_BYTES / 2);
    run(database, sql);
}

void workload_make_template(const char *path, uint64_t size_bytes, bool wal)
{
    sqlite3 *database = open_database(path);
    /* This is not timed and has no other readers, so it may be fast and unsafe. */
    run(database, "pragma synchronous = off; pragma locking_mode = exclusive;"
                  "pragma journal_mode = off; begin");
    for (unsigned table = 0; table < TABLES; table++) {
        char sql[256];
        (void)snprintf(sql, sizeof(sql),
                       "create table t%02u(id integer primary key, k integer not null,"
                       " v text not null default ''); create index i%02u on t%02u(k)",
                       table, table, table);
        run(database, sql);
        add_rows(database, table, 4);
    }
    run(database, "commit; begin");
    unsigned table = 0;
    while ((uint64_t)ask_number(database, "select page_count * page_size from pragma_page_count,"
                                          " pragma_page_size") < size_bytes) {
        add_rows(database, table, size_bytes > 8 << 20 ? ROWS_AT_ONCE : 4);
        table = (table + 1) % TABLES;
    }
    run(database, "commit");
    workload_close(database);
    if (wal) {
        database = open_database(path);
        run(database, "pragma journal_mode = wal");
        workload_close(database);
    }
}

/* ---- a session's work ---- */

void workload_read_schema(sqlite3 *database)
{
    sqlite3_stmt *statement = prepare(database, "select name, sql from sqlite_master");
    if (drain(database, statement) == 0)
        fail(database, "the template is empty");
    sqlite3_finalize(statement);
}

sqlite3 *workload_open(const char *path)
{
    sqlite3 *database = open_database(path);
    workload_read_schema(database);
    return database;
}

struct statements {
    const char *insert;
    const char *select;
};

/* The database of tests/projects/shop-usual has other tables. */
static bool is_shop(sqlite3 *database)
{
    return ask_number(database, "select count(*) from sqlite_master where name = 'tags'") > 0;
}

static void transact(sqlite3 *database, const struct statements *sql, unsigned number)
{
    run(database, "begin");
    sqlite3_stmt *insert = prepare(database, sql->insert);
    for (unsigned i = 0; i < 2; i++) {
        char text[TEXT_BYTES];
        (void)snprintf(text, sizeof(text), "%0*u", TEXT_BYTES / 2, number * 2 + i);
        sqlite3_bind_text(insert, 1, text, -1, SQLITE_TRANSIENT);
        (void)drain(database, insert);
    }
    sqlite3_finalize(insert);
    sqlite3_stmt *select = prepare(database, sql->select);
    sqlite3_bind_int64(select, 1, sqlite3_last_insert_rowid(database) / 2 + 1);
    (void)drain(database, select);
    sqlite3_finalize(select);
    run(database, "commit");
}

void workload_transact(sqlite3 *database, unsigned serial, unsigned transactions)
{
    static const struct statements shop = {"insert into tags(name) values (?1)",
                                           "select name from tags where id = ?1"};
    bool in_shop = is_shop(database);
    unsigned table = serial % TABLES; /* each test works on another table */
    for (unsigned i = 0; i < transactions; i++) {
        char insert[64];
        char select[64];
        (void)snprintf(insert, sizeof(insert), "insert into t%02u(k, v) values (length(?1), ?1)",
                       table);
        (void)snprintf(select, sizeof(select), "select v from t%02u where id = ?1", table);
        transact(database, in_shop ? &shop : &(struct statements){insert, select}, i);
    }
}

void workload_close(sqlite3 *database)
{
    if (sqlite3_close(database) != SQLITE_OK)
        fail(database, "close");
}

void workload_backup(const char *from, sqlite3 *to)
{
    sqlite3 *source;
    if (sqlite3_open_v2(from, &source, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        fail(source, from);
    sqlite3_busy_timeout(source, BUSY_MS);
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", source, "main");
    if (!backup)
        fail(to, "backup");
    /* In WAL mode, another reader's close locks the whole source for a moment. */
    while (sqlite3_backup_step(backup, -1) == SQLITE_BUSY)
        (void)sqlite3_sleep(1);
    if (sqlite3_backup_finish(backup) != SQLITE_OK)
        fail(to, "backup");
    workload_close(source);
}
