/*
 * The catalog, read out: names and templates.
 */
#include <sqlite3.h>
#include <string.h>

#include "fs/store/catalog_db.h"
#include "fs/store/catalog_internal.h"
#include "fs/store/names.h"
#include "fs/store/template_dir.h"

static void listing_clear(struct key_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->rows[i].file);
        free(listing->rows[i].names);
        free(listing->rows[i].label);
        free(listing->rows[i].made_by);
    }
    listing->count = 0;
}

void key_listing_fini(struct key_listing *listing)
{
    listing_clear(listing);
    free(listing->rows);
}

static int listing_add(struct key_listing *listing, const struct catalog_row *row)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 16;
        struct catalog_row *rows = reallocarray(listing->rows, capacity, sizeof(*rows));
        if (!rows)
            return -ENOMEM;
        listing->rows = rows;
        listing->capacity = capacity;
    }
    struct catalog_row copy = *row;
    copy.file = strdup(row->file ? row->file : "");
    copy.names = strdup(row->names ? row->names : "");
    copy.label = strdup(row->label ? row->label : "");
    copy.made_by = strdup(row->made_by ? row->made_by : "");
    listing->rows[listing->count++] = copy;
    return copy.file && copy.names && copy.label && copy.made_by ? 0 : -ENOMEM;
}

/* SQLite hands out const bytes; the row only borrows them until listing_add() copies. */
static char *column_text(sqlite3_stmt *statement, int column)
{
    return (char *)(uintptr_t)sqlite3_column_text(statement, column);
}

static int list(sqlite3 *db, const char *sql, struct key_listing *listing,
                bool (*read_row)(sqlite3_stmt *statement, struct catalog_row *ret_row))
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    listing_clear(listing);
    int r = catalog_db_prepare(db, &statement, sql, "");
    while (r == 0) {
        int code = sqlite3_step(statement);
        if (code == SQLITE_DONE)
            return 0;
        if (code != SQLITE_ROW)
            return catalog_db_error(sqlite3_extended_errcode(db));
        struct catalog_row row = {0};
        const char *key = column_text(statement, 0);
        if (!key || !sha256_is_hex(key) || !read_row(statement, &row))
            continue;
        memcpy(row.key, key, sizeof(row.key));
        r = listing_add(listing, &row);
    }
    return r;
}

static bool read_name(sqlite3_stmt *statement, struct catalog_row *ret_row)
{
    ret_row->names = column_text(statement, 1);
    return ret_row->names && name_is_valid(ret_row->names);
}

static int list_names(sqlite3 *db, void *listing)
{
    return list(db, "SELECT key, name FROM names ORDER BY name", listing, read_name);
}

int catalog_each_name(struct catalog *catalog, catalog_name_visitor *visit, void *context)
{
    CLEANUP(key_listing_fini) struct key_listing listing = {.rows = NULL};
    int r = catalog_use(catalog, list_names, &listing);
    for (size_t i = 0; r == 0 && i < listing.count; i++)
        r = visit(listing.rows[i].names, listing.rows[i].key, context);
    return r;
}

static bool read_nothing(sqlite3_stmt *statement UNUSED, struct catalog_row *ret_row UNUSED)
{
    return true;
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

static int list_keys(sqlite3 *db, void *listing)
{
    return list(db, "SELECT key FROM templates ORDER BY key", listing, read_nothing);
}

int catalog_list_keys(struct catalog *catalog, struct key_listing *listing)
{
    return catalog_use(catalog, list_keys, listing);
}

static int list_templates(sqlite3 *db, void *listing)
{
    return list(db,
                "SELECT key, file, size_bytes, file_count, created_ns, build_time_ns,"
                " last_used_ns, saved_ns, hits, pinned, verified,"
                " (SELECT group_concat(name, ' ') FROM (SELECT name FROM names"
                "  WHERE names.key = templates.key ORDER BY name)), label, made_by"
                " FROM templates ORDER BY last_used_ns DESC, key",
                listing, read_template);
}

int catalog_each(struct catalog *catalog, catalog_visitor *visit, void *context)
{
    CLEANUP(key_listing_fini) struct key_listing listing = {.rows = NULL};
    int r = catalog_use(catalog, list_templates, &listing);
    for (size_t i = 0; r == 0 && i < listing.count; i++)
        r = visit(&listing.rows[i], context);
    return r;
}
