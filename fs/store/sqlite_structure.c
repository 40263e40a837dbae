#include "fs/store/sqlite_structure.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "fs/base/bytes.h"
#include "fs/base/text.h"
#include "fs/base/vector.h"
#include "fs/store/sqlite_error.h"
#include "fs/store/sqlite_header.h"

/* The first byte of a b-tree page. */
enum { INDEX_INTERIOR = 2, TABLE_INTERIOR = 5, INDEX_LEAF = 10, TABLE_LEAF = 13 };

enum { INDEXES_PER_HOST = 250 };

struct root {
    int64_t page;
    bool is_table; /* by the type of its page */
};

struct structure {
    sqlite3 *db;
    VECTOR(struct root) roots;
    int64_t page_size;
    int64_t page_count;
    char *damage;
};

int sqlite_structure_allow(sqlite3 *db)
{
    int code = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    return code == SQLITE_OK ? sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL)
                             : code;
}

static int main_file(sqlite3 *db, sqlite3_file **ret_file)
{
    *ret_file = NULL;
    int code = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, ret_file);
    return code == SQLITE_OK && (!*ret_file || !(*ret_file)->pMethods) ? SQLITE_CANTOPEN : code;
}

int sqlite_structure_read(sqlite3 *db, void *buffer, size_t size, int64_t offset)
{
    sqlite3_file *file;
    int code = main_file(db, &file);
    if (code == SQLITE_OK)
        code = file->pMethods->xRead(file, buffer, (int)size, offset);
    return code == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : code;
}

static int file_size(sqlite3 *db, int64_t *ret_size_bytes)
{
    sqlite3_file *file;
    sqlite3_int64 size = 0;
    int code = main_file(db, &file);
    if (code == SQLITE_OK)
        code = file->pMethods->xFileSize(file, &size);
    *ret_size_bytes = size;
    return code;
}

static int damaged(struct structure *check, const char *format, ...) PRINTF_LIKE(2, 3);
static int damaged(struct structure *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    check->damage = text_vformat(format, arguments);
    va_end(arguments);
    return check->damage ? SQLITE_OK : SQLITE_NOMEM;
}

static int run(const struct structure *check, const char *sql)
{
    return sqlite3_exec(check->db, sql, NULL, NULL, NULL);
}

static int read_number(const struct structure *check, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_CORRUPT : code;
}

/*
 * With WRITABLE_SCHEMA SQLite does not refuse a file that is shorter than its header states, and
 * reads the missing part of the last page as zeros.
 */
static int check_length(struct structure *check)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES] = {0};
    int64_t size = 0;
    int code = sqlite_structure_read(check->db, header, sizeof(header), 0);
    if (code == SQLITE_OK)
        code = file_size(check->db, &size);
    if (code == SQLITE_OK)
        code = read_number(check, "PRAGMA main.page_size", &check->page_size);
    if (code == SQLITE_OK)
        code = read_number(check, "PRAGMA main.page_count", &check->page_count);
    if (code != SQLITE_OK)
        return code;
    uint32_t stated = bytes_get_be32(header + SQLITE_PAGE_COUNT_OFFSET);
    bool is_current = bytes_get_be32(header + SQLITE_CHANGES_OFFSET) ==
                      bytes_get_be32(header + SQLITE_VALID_FOR_OFFSET);
    int64_t needed = (is_current ? stated : check->page_count) * check->page_size;
    if (size < needed)
        return damaged(check, "the file is cut off: it has %lld of %lld bytes", (long long)size,
                       (long long)needed);
    return SQLITE_OK;
}

/* One row of sqlite_schema: type, name, rootpage, sql. */
static int take_row(struct structure *check, sqlite3_stmt *row)
{
    const char *type = (const char *)sqlite3_column_text(row, 0);
    const char *name = (const char *)sqlite3_column_text(row, 1);
    const char *sql = (const char *)sqlite3_column_text(row, 3);
    struct root root = {.page = sqlite3_column_int64(row, 2)};
    unsigned char kind = 0;
    if (root.page == 0)
        return SQLITE_OK; /* a view, a trigger, a virtual table */
    if (root.page < 2 || root.page > check->page_count)
        return damaged(check, "the pages of %.100s begin at page %lld of %lld",
                       name ? name : "an object", (long long)root.page,
                       (long long)check->page_count);
    int code = sqlite_structure_read(check->db, &kind, 1, (root.page - 1) * check->page_size);
    if (code != SQLITE_OK)
        return code;
    root.is_table = kind == TABLE_LEAF || kind == TABLE_INTERIOR;
    bool is_index = kind == INDEX_LEAF || kind == INDEX_INTERIOR;
    /* Tables WITHOUT ROWID are stored as indexes. */
    bool fits = root.is_table ? type && !strcmp(type, "table")
                              : is_index && type &&
                                    (!strcmp(type, "index") || (sql && strcasestr(sql, "rowid")));
    if (!fits)
        return damaged(check, "page %lld, where %.20s %.100s begins, is of another type (%u)",
                       (long long)root.page, type ? type : "object", name ? name : "", kind);
    return vector_push(&check->roots, root) < 0 ? SQLITE_NOMEM : SQLITE_OK;
}

static int read_roots(struct structure *check)
{
    sqlite3_stmt *statement = NULL;
    int code =
        sqlite3_prepare_v2(check->db, "SELECT type, name, rootpage, sql FROM main.sqlite_schema",
                           -1, &statement, NULL);
    while (code == SQLITE_OK && !check->damage) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        code = take_row(check, statement);
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Creates empty tables for the indexes. With all indexes on one table, loading them would take
 * quadratic time. */
static int make_hosts(const struct structure *check)
{
    int code = SQLITE_OK;
    for (size_t i = 0; code == SQLITE_OK && i <= check->roots.count / INDEXES_PER_HOST; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof(sql), "CREATE TABLE main.host%zu(a)", i);
        code = run(check, sql);
    }
    return code;
}

/* Enters tables as tables, everything else as an index on a host. The old rows are deleted first,
 * so no names can collide. */
static int write_neutral_rows(struct structure *check)
{
    int code = run(check, "DELETE FROM main.sqlite_schema; PRAGMA writable_schema=RESET");
    if (code == SQLITE_OK)
        code = make_hosts(check);
    if (code == SQLITE_OK)
        code = run(check, "PRAGMA writable_schema=ON");
    sqlite3_stmt *statement = NULL;
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(
            check->db,
            "INSERT INTO main.sqlite_schema(type, name, tbl_name, rootpage, sql) SELECT"
            " iif(?1, 'table', 'index'), 'n' || ?2, iif(?1, 'n' || ?2, 'host' || ?4), ?3,"
            " iif(?1, 'CREATE TABLE n' || ?2 || '(a)',"
            " 'CREATE INDEX n' || ?2 || ' ON host' || ?4 || '(a)')",
            -1, &statement, NULL);
    for (size_t i = 0; code == SQLITE_OK && i < check->roots.count; i++) {
        code = sqlite3_bind_int(statement, 1, check->roots.items[i].is_table);
        if (code == SQLITE_OK)
            code = sqlite3_bind_int64(statement, 2, (int64_t)i);
        if (code == SQLITE_OK)
            code = sqlite3_bind_int64(statement, 3, check->roots.items[i].page);
        if (code == SQLITE_OK)
            code = sqlite3_bind_int64(statement, 4, (int64_t)(i / INDEXES_PER_HOST));
        if (code == SQLITE_OK)
            code = sqlite3_step(statement);
        if (code == SQLITE_DONE)
            code = sqlite3_reset(statement);
    }
    int finalized = sqlite3_finalize(statement);
    if (code == SQLITE_OK)
        code = finalized;
    return code == SQLITE_OK ? run(check, "PRAGMA writable_schema=RESET") : code;
}

/* The first row that is not "ok" describes the damage. The name of an object limits the check to
 * it. */
static int run_check(struct structure *check, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    bool has_answer = false;
    int code = sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL);
    while (code == SQLITE_OK && !check->damage) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        has_answer = true;
        const char *row = (const char *)sqlite3_column_text(statement, 0);
        if (row && !strncmp(row, "*** in database", 15) && strchr(row, '\n'))
            row = strchr(row, '\n') + 1;
        if (!row || strcmp(row, "ok") != 0)
            code = damaged(check, "%.400s", row ? row : "quick_check without an answer");
    }
    (void)sqlite3_finalize(statement);
    if (code == SQLITE_DONE)
        code = has_answer ? SQLITE_OK : SQLITE_ERROR;
    return code;
}

/* The schema's own b-tree is checked first, before it is changed. */
static int check_pages(struct structure *check)
{
    int code = check_length(check);
    if (code == SQLITE_OK && !check->damage)
        code = run_check(check, "PRAGMA main.quick_check('sqlite_schema')");
    if (code == SQLITE_OK && !check->damage)
        code = read_roots(check);
    if (code == SQLITE_OK && !check->damage)
        code = write_neutral_rows(check);
    if (code == SQLITE_OK && !check->damage)
        code = run_check(check, "PRAGMA main.quick_check(1)");
    return code;
}

bool sqlite_structure_is_damage(int code)
{
    int primary = code & 0xff;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_ERROR ||
           primary == SQLITE_CANTOPEN;
}

/*
 * Nothing is written to the file: the journal is in memory, dirty pages are not spilled, and the
 * transaction, which takes at most a RESERVED lock, is rolled back.
 */
int sqlite_structure_check(sqlite3 *db, char **ret_damage)
{
    struct structure check = {.db = db};
    int code = run(&check, "PRAGMA main.journal_mode=MEMORY; PRAGMA cache_spill=OFF;"
                           "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
                           "BEGIN IMMEDIATE");
    if (code == SQLITE_OK)
        code = check_pages(&check);
    /* Damage that SQLite found during another statement. Since nothing is written, SQLITE_FULL
     * means that there are no more page numbers, and not that the disk is full. */
    if (!check.damage && (sqlite_structure_is_damage(code) || (code & 0xff) == SQLITE_FULL))
        code = damaged(&check, "%s", sqlite_error_text(db, code));
    /* An error may have rolled the transaction back already. */
    if (!sqlite3_get_autocommit(db)) {
        int rolled_back = run(&check, "ROLLBACK");
        code = code == SQLITE_OK ? rolled_back : code;
    }
    vector_fini(&check.roots);
    if (code == SQLITE_OK)
        *ret_damage = check.damage;
    else
        free(check.damage);
    return code;
}
