#include "fs/store/compare.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/store/catalog_db.h"

struct comparison {
    sqlite3 *db; /* main: the cached one; fresh: the other */
    const char *shown;
    struct strlist *differences;
};

static int add_line(struct comparison *comparison, const char *format, ...) PRINTF_LIKE(2, 3);
static int add_line(struct comparison *comparison, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    if (!text || asprintf(&line, "%s: %s", comparison->shown, text) < 0)
        return -ENOMEM;
    return strlist_take(comparison->differences, line);
}

static int fail(const struct comparison *comparison)
{
    return log_fail(EIO, "%s cannot be compared: %s", comparison->shown,
                    sqlite3_errmsg(comparison->db));
}

/* Runs a query whose rows each are one text; to be freed by the caller. */
static int collect(struct comparison *comparison, const char *sql, struct strlist *texts)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(comparison->db, sql, -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        const char *text =
            code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (text && strlist_add(texts, text) < 0)
            return -ENOMEM;
    }
    return code == SQLITE_DONE ? 0 : fail(comparison);
}

static int count(struct comparison *comparison, int64_t *ret_count, char *sql)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int code = sql ? sqlite3_prepare_v2(comparison->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    if (code != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        return fail(comparison);
    *ret_count = sqlite3_column_int64(statement, 0);
    return 0;
}

static int compare_schema(struct comparison *comparison)
{
#define OBJECTS(schema)                                                                            \
    "SELECT type || ' ' || name || coalesce(': ' || sql, '') FROM " schema ".sqlite_schema"        \
    " WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
    AUTO_STRLIST struct strlist only_cached = STRLIST_INIT;
    AUTO_STRLIST struct strlist only_fresh = STRLIST_INIT;
    int r = collect(comparison, OBJECTS("main") " EXCEPT " OBJECTS("fresh"), &only_cached);
    if (r == 0)
        r = collect(comparison, OBJECTS("fresh") " EXCEPT " OBJECTS("main"), &only_fresh);
    for (size_t i = 0; r == 0 && i < only_cached.count; i++)
        r = add_line(comparison, "schema, cached alone: %.200s", only_cached.items[i]);
    for (size_t i = 0; r == 0 && i < only_fresh.count; i++)
        r = add_line(comparison, "schema, built now alone: %.200s", only_fresh.items[i]);
    return r;
}

/* Which columns hold other values, with a comma between. */
static int name_columns(struct comparison *comparison, const char *table, char **ret_names)
{
    AUTO_STRLIST struct strlist columns = STRLIST_INIT;
    char *sql = sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q)", table);
    int r = sql ? collect(comparison, sql, &columns) : -ENOMEM;
    sqlite3_free(sql);
    char *names = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&names, &size);
    if (!stream)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < columns.count; i++) {
        int64_t differ = 0;
        const char *column = columns.items[i];
        r = count(comparison, &differ,
                  sqlite3_mprintf("SELECT count(*) FROM (SELECT \"%w\" FROM main.\"%w\" EXCEPT "
                                  "SELECT \"%w\" FROM fresh.\"%w\")",
                                  column, table, column, table));
        if (r == 0 && differ)
            (void)fprintf(stream, "%s%s", ftell(stream) ? ", " : "", column);
    }
    if (fclose(stream) != 0)
        r = -ENOMEM;
    if (r < 0)
        free(names);
    else
        *ret_names = names;
    return r;
}

static int compare_table(struct comparison *comparison, const char *table)
{
    int64_t cached = 0;
    int64_t fresh = 0;
    int64_t differ = 0;
    int64_t differ_back = 0;
    int r = count(comparison, &cached, sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", table));
    if (r == 0)
        r = count(comparison, &fresh, sqlite3_mprintf("SELECT count(*) FROM fresh.\"%w\"", table));
    static const char except[] = "SELECT count(*) FROM (SELECT * FROM %s.\"%w\" EXCEPT "
                                 "SELECT * FROM %s.\"%w\")";
    if (r == 0)
        r = count(comparison, &differ, sqlite3_mprintf(except, "main", table, "fresh", table));
    if (r == 0)
        r = count(comparison, &differ_back, sqlite3_mprintf(except, "fresh", table, "main", table));
    if (r < 0 || (cached == fresh && !differ && !differ_back))
        return r;
    AUTO_FREE char *columns = NULL;
    r = name_columns(comparison, table, &columns);
    if (r < 0)
        return r;
    return add_line(comparison,
                    "table %s: %lld of %lld cached rows differ, and %lld of %lld built now%s%s",
                    table, (long long)differ, (long long)cached, (long long)differ_back,
                    (long long)fresh, *columns ? ", in: " : "", columns);
}

static int compare_rows(struct comparison *comparison)
{
    AUTO_STRLIST struct strlist tables = STRLIST_INIT;
    int r = collect(comparison,
                    "SELECT name FROM main.sqlite_schema JOIN fresh.sqlite_schema USING"
                    " (type, name, sql) WHERE type = 'table' AND sql NOT LIKE 'create virtual%'"
                    " ORDER BY name",
                    &tables);
    for (size_t i = 0; r == 0 && i < tables.count; i++)
        r = compare_table(comparison, tables.items[i]);
    return r;
}

static char *uri_of(const char *path)
{
    AUTO_FREE char *uri = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&uri, &size);
    if (!stream)
        return NULL;
    (void)fputs("file:", stream);
    for (; *path; path++)
        if (strchr("%?#", *path))
            (void)fprintf(stream, "%%%02X", (unsigned char)*path);
        else
            (void)fputc(*path, stream);
    (void)fputs("?immutable=1", stream);
    return fclose(stream) == 0 ? steal_pointer(&uri) : NULL;
}

int compare_databases(const char *cached, const char *fresh, const char *shown,
                      struct strlist *differences)
{
    AUTO_DB sqlite3 *db = NULL;
    AUTO_FREE char *cached_uri = uri_of(cached);
    AUTO_FREE char *fresh_uri = uri_of(fresh);
    if (!cached_uri || !fresh_uri)
        return -ENOMEM;
    int code = sqlite3_open_v2(cached_uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    struct comparison comparison = {.db = db, .shown = shown, .differences = differences};
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (code != SQLITE_OK)
        return fail(&comparison);
    int r = catalog_db_run(db, "ATTACH ?1 AS fresh", "s", fresh_uri);
    if (r < 0)
        return fail(&comparison);
    r = compare_schema(&comparison);
    return r < 0 ? r : compare_rows(&comparison);
}
