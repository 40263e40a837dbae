#include "fs/store/sqlite_diff.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/base/text.h"
#include "fs/store/sql.h"
#include "fs/store/sqlite_error.h"
#include "fs/store/sqlite_path.h"
#include "fs/store/sqlite_structure.h"

struct comparison {
    sqlite3 *db; /* schema main: the cached database; fresh: the other */
    const char *shown;
    struct strlist *differences;
};

static int add_line(struct comparison *comparison, const char *format, ...) PRINTF_LIKE(2, 3);
static int add_line(struct comparison *comparison, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    AUTO_FREE char *text = text_vformat(format, arguments);
    va_end(arguments);
    char *line = text ? text_format("%s: %s", comparison->shown, text) : NULL;
    if (!line)
        return -ENOMEM;
    printable_clean(line);
    return strlist_take(comparison->differences, line);
}

static int fail(const struct comparison *comparison, int code)
{
    return log_fail(EIO, "%s cannot be compared: %s", comparison->shown,
                    sqlite_error_text(comparison->db, code));
}

/* Appends the first column of each row. */
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
    return code == SQLITE_DONE ? 0 : fail(comparison, code);
}

static int count_rows(struct comparison *comparison, int64_t *ret_count, char *sql)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int code = sql ? sqlite3_prepare_v2(comparison->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        return fail(comparison, code);
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
        r = add_line(comparison, "schema, only cached: %.200s", only_cached.items[i]);
    for (size_t i = 0; r == 0 && i < only_fresh.count; i++)
        r = add_line(comparison, "schema, only built now: %.200s", only_fresh.items[i]);
    return r;
}

/*
 * The columns that are stored. The others are computed by the schema's own expressions, which are
 * compared as text and never run: a template that came from elsewhere may contain anything there.
 */
static int list_columns(struct comparison *comparison, const char *table, struct strlist *columns)
{
    char *sql = sqlite3_mprintf(
        "SELECT name FROM pragma_table_xinfo(%Q, 'main') WHERE hidden IN (0, 3)", table);
    int r = sql ? collect(comparison, sql, columns) : -ENOMEM;
    sqlite3_free(sql);
    return r;
}

/* Writes `SELECT columns FROM schema.table`: values as bytes, without any index. */
static void write_select(FILE *stream, char *const *columns, size_t count, const char *schema,
                         const char *table)
{
    (void)fputs("SELECT ", stream);
    for (size_t i = 0; i < count; i++) {
        char *column = sqlite3_mprintf("\"%w\" COLLATE BINARY", columns[i]);
        (void)fprintf(stream, "%s%s", i ? ", " : "", column ? column : "");
        sqlite3_free(column);
    }
    char *from = sqlite3_mprintf(" FROM %s.\"%w\" NOT INDEXED", schema, table);
    (void)fputs(from ? from : "", stream);
    sqlite3_free(from);
}

/* How many rows of one table the other lacks, compared by these columns only. */
static int count_missing(struct comparison *comparison, const char *table, char *const *columns,
                         size_t count, bool of_fresh, int64_t *ret_count)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return -ENOMEM;
    (void)fputs("SELECT count(*) FROM (", stream);
    write_select(stream, columns, count, of_fresh ? "fresh" : "main", table);
    (void)fputs(" EXCEPT ", stream);
    write_select(stream, columns, count, of_fresh ? "main" : "fresh", table);
    (void)fputs(")", stream);
    if (fclose(stream) != 0)
        return -ENOMEM;
    return count_rows(comparison, ret_count, sqlite3_mprintf("%s", text));
}

/* The columns whose values differ, separated by commas. */
static int name_columns(struct comparison *comparison, const char *table,
                        const struct strlist *columns, char **ret_names)
{
    char *names = NULL;
    size_t size = 0;
    int r = 0;
    FILE *stream = open_memstream(&names, &size);
    if (!stream)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < columns->count; i++) {
        int64_t differ = 0;
        r = count_missing(comparison, table, columns->items + i, 1, false, &differ);
        if (r == 0 && differ)
            (void)fprintf(stream, "%s%s", ftell(stream) ? ", " : "", columns->items[i]);
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
    AUTO_STRLIST struct strlist columns = STRLIST_INIT;
    int64_t cached = 0;
    int64_t fresh = 0;
    int64_t differ = 0;
    int64_t differ_back = 0;
    int r = list_columns(comparison, table, &columns);
    if (r == 0 && columns.count == 0)
        return add_line(comparison, "table %s: SQLite %s cannot read it; its rows may differ",
                        table, sqlite3_libversion());
    static const char all[] = "SELECT count(*) FROM %s.\"%w\" NOT INDEXED";
    if (r == 0)
        r = count_rows(comparison, &cached, sqlite3_mprintf(all, "main", table));
    if (r == 0)
        r = count_rows(comparison, &fresh, sqlite3_mprintf(all, "fresh", table));
    if (r == 0)
        r = count_missing(comparison, table, columns.items, columns.count, false, &differ);
    if (r == 0)
        r = count_missing(comparison, table, columns.items, columns.count, true, &differ_back);
    if (r < 0 || (cached == fresh && !differ && !differ_back))
        return r;
    AUTO_FREE char *names = NULL;
    r = name_columns(comparison, table, &columns, &names);
    if (r < 0)
        return r;
    return add_line(comparison,
                    "table %s: %lld of %lld cached rows differ, and %lld of %lld built now%s%s",
                    table, (long long)differ, (long long)cached, (long long)differ_back,
                    (long long)fresh, *names ? ", in: " : "", names);
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

/* Replaces a collation of the application; the order that it gives does not matter. */
static int compare_bytes(void *context UNUSED, int a_size, const void *a, int b_size, const void *b)
{
    int order = memcmp(a, b, (size_t)(a_size < b_size ? a_size : b_size));
    return order ? order : a_size - b_size;
}

static void add_collation(void *context UNUSED, sqlite3 *db, int encoding UNUSED, const char *name)
{
    (void)sqlite3_create_collation(db, name, SQLITE_UTF8, NULL, compare_bytes);
}

/* Ignores objects of the schema that our SQLite cannot parse, and trusts none of it. */
static int prepare_connection(sqlite3 *db)
{
    static const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_VIEW};
    int code = sqlite_structure_allow(db);
    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LENGTH(off); i++)
        code = sqlite3_db_config(db, off[i], 0, NULL);
    return code == SQLITE_OK ? sqlite3_collation_needed(db, NULL, add_collation) : code;
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

int sqlite_diff(const char *cached, const char *fresh, const char *shown,
                struct strlist *differences)
{
    AUTO_DB sqlite3 *db = NULL;
    AUTO_FREE char *cached_uri = uri_of(cached);
    AUTO_FREE char *fresh_uri = uri_of(fresh);
    if (!cached_uri || !fresh_uri)
        return -ENOMEM;
    int code =
        sqlite3_open_v2(cached_uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, sqlite_path_vfs());
    struct comparison comparison = {.db = db, .shown = shown, .differences = differences};
    if (code == SQLITE_OK)
        code = prepare_connection(db);
    if (code != SQLITE_OK)
        return fail(&comparison, code);
    int r = sql_run(db, "ATTACH ?1 AS fresh", "s", fresh_uri);
    if (r < 0)
        return fail(&comparison, sqlite3_extended_errcode(db));
    r = compare_schema(&comparison);
    return r < 0 ? r : compare_rows(&comparison);
}
