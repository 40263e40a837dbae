#include "fs/store/catalog_list.h"

#include <sqlite3.h>
#include <string.h>

#include "fs/base/vector.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/names.h"
#include "fs/store/sql.h"

/*
 * The rows are copied before they are visited: no lock is held while the caller visits, and a
 * damaged catalog makes the listing start again.
 */
typedef VECTOR(struct catalog_row) listing;

void catalog_row_fini(struct catalog_row *row)
{
    free(row->file);
    free(row->names);
    free(row->label);
    free(row->made_by);
}

int catalog_row_copy(const struct catalog_row *row, struct catalog_row *ret_copy)
{
    struct catalog_row copy = *row;
    copy.file = strdup(row->file ? row->file : "");
    copy.names = strdup(row->names ? row->names : "");
    copy.label = strdup(row->label ? row->label : "");
    copy.made_by = strdup(row->made_by ? row->made_by : "");
    if (!copy.file || !copy.names || !copy.label || !copy.made_by) {
        catalog_row_fini(&copy);
        return -ENOMEM;
    }
    *ret_copy = copy;
    return 0;
}

bool catalog_row_has_name(const struct catalog_row *row, const char *name)
{
    size_t length = strlen(name);
    if (!strcmp(row->label, name))
        return true;
    for (const char *at = row->names; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && !memcmp(at, name, length))
            return true;
    return false;
}

static void clear(listing *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        catalog_row_fini(&rows->items[i]);
    rows->count = 0;
}

static void listing_fini(listing *rows)
{
    clear(rows);
    vector_fini(rows);
}

static int add_row(listing *rows, const struct catalog_row *row)
{
    struct catalog_row copy;
    int r = vector_reserve(rows, 1);
    if (r == 0)
        r = catalog_row_copy(row, &copy);
    if (r == 0)
        rows->items[rows->count++] = copy;
    return r;
}

/* SQLite returns const bytes; the row only borrows them until add_row() copies them. */
static char *column_text(sqlite3_stmt *statement, int column)
{
    return (char *)(uintptr_t)sqlite3_column_text(statement, column);
}

static int list(sqlite3 *db, const char *sql, listing *rows,
                bool (*read_row)(sqlite3_stmt *statement, struct catalog_row *ret_row))
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    clear(rows);
    int r = sql_prepare(db, &statement, sql, "");
    while (r == 0) {
        int code = sqlite3_step(statement);
        if (code == SQLITE_DONE)
            return 0;
        if (code != SQLITE_ROW)
            return sql_error(sqlite3_extended_errcode(db));
        struct catalog_row row = {0};
        const char *key = column_text(statement, 0);
        if (!key || !sha256_is_hex(key) || !read_row(statement, &row))
            continue;
        memcpy(row.key, key, sizeof(row.key));
        r = add_row(rows, &row);
    }
    return r;
}

static bool read_name(sqlite3_stmt *statement, struct catalog_row *ret_row)
{
    ret_row->names = column_text(statement, 1);
    return ret_row->names && name_is_valid(ret_row->names);
}

static int list_names(sqlite3 *db, void *rows)
{
    return list(db, "SELECT key, name FROM names ORDER BY name", rows, read_name);
}

int catalog_each_name(struct catalog *catalog, catalog_name_visitor *visit, void *context)
{
    CLEANUP(listing_fini) listing rows = {0};
    int r = catalog_use(catalog, list_names, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = visit(rows.items[i].names, rows.items[i].key, context);
    return r;
}

static bool read_template(sqlite3_stmt *statement, struct catalog_row *ret_row)
{
    ret_row->file = column_text(statement, 1);
    ret_row->size_bytes = (uint64_t)sqlite3_column_int64(statement, 2);
    ret_row->file_count = (uint64_t)sqlite3_column_int64(statement, 3);
    ret_row->created_ns = sqlite3_column_int64(statement, 4);
    ret_row->build_time_ns = sqlite3_column_int64(statement, 5);
    ret_row->last_used_ns = sqlite3_column_int64(statement, 6);
    ret_row->saved_ns = sqlite3_column_int64(statement, 7);
    ret_row->hits = sqlite3_column_int64(statement, 8);
    ret_row->pinned = sqlite3_column_int64(statement, 9) != 0;
    ret_row->verified = sqlite3_column_int64(statement, 10) != 0;
    ret_row->names = column_text(statement, 11);
    ret_row->label = column_text(statement, 12);
    ret_row->made_by = column_text(statement, 13);
    return true;
}

static int list_templates(sqlite3 *db, void *rows)
{
    return list(db,
                "SELECT key, file, size_bytes, file_count, created_ns, build_time_ns,"
                " last_used_ns, saved_ns, hits, pinned, verified,"
                " (SELECT group_concat(name, ' ') FROM (SELECT name FROM names"
                "  WHERE names.key = templates.key ORDER BY name)), label, made_by"
                " FROM templates ORDER BY last_used_ns DESC, key",
                rows, read_template);
}

int catalog_each(struct catalog *catalog, catalog_visitor *visit, void *context)
{
    CLEANUP(listing_fini) listing rows = {0};
    int r = catalog_use(catalog, list_templates, &rows);
    for (size_t i = 0; r == 0 && i < rows.count; i++)
        r = visit(&rows.items[i], context);
    return r;
}
