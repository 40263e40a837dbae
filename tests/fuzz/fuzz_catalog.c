/*
 * catalog.db as anybody might have left it: rows with any values in tables that allow them, or a
 * whole file if the input begins like a database. The rows that are read must be as the headers
 * promise.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/sha256.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/names.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"

static const char file[] = "store/v1/catalog.db";
/* The catalog's schema without its constraints. */
static const char loose_schema[] =
    "PRAGMA application_id = 0x6d696e74; PRAGMA user_version = 1;"
    "CREATE TABLE templates(key, file, size_bytes, file_count, created_ns, build_time_ns,"
    " last_used_ns, hits, saved_ns, pinned, verified, label, made_by);"
    "CREATE TABLE names(name, key, since_ns);"
    "CREATE TABLE days(day, hits, misses, builds, build_time_ns, saved_ns, built_bytes, evicted,"
    " evicted_bytes, sessions, requests);";
static const struct {
    const char *insert;
    int columns;
} tables[] = {
    {"INSERT INTO templates VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", 13},
    {"INSERT INTO names VALUES(?,?,?)", 3},
    {"INSERT INTO days VALUES(?,?,?,?,?,?,?,?,?,?,?)", 11},
};

static struct store *store;
static sqlite3 *own; /* on the file with the loose schema */
static struct stat own_file;

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_directory();
    must(setenv("MINTFS_STORE", "store", 1) == 0 && store_open(&store) == 0);
    return 0;
}

static void remove_file(void)
{
    static const char *const tails[] = {"", "-journal", "-wal", "-shm"};
    (void)sqlite3_close(own);
    own = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(tails); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s%s", file, tails[i]);
        (void)unlink(path);
    }
}

/* Empties the file with the loose schema; creates it again only if it was replaced. */
static void empty_tables(void)
{
    struct stat now;
    if (own && stat(file, &now) == 0 && now.st_ino == own_file.st_ino) {
        must(sqlite3_exec(own, "DELETE FROM templates; DELETE FROM names; DELETE FROM days", NULL,
                          NULL, NULL) == SQLITE_OK);
        return;
    }
    remove_file();
    must(sqlite3_open(file, &own) == SQLITE_OK);
    must(sqlite3_exec(own, "PRAGMA synchronous=OFF", NULL, NULL, NULL) == SQLITE_OK);
    must(sqlite3_exec(own, loose_schema, NULL, NULL, NULL) == SQLITE_OK);
    must(stat(file, &own_file) == 0);
}

/* ---- values from bytes ---- */

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static int bind_value(sqlite3_stmt *statement, int column, struct input *input)
{
    char key[SHA256_HEX_LENGTH];
    uint8_t kind = take(input);
    uint64_t number = 0;
    size_t size;
    switch (kind % 6) {
    case 0:
        return SQLITE_OK; /* NULL */
    case 1:
        for (unsigned i = 0; i < 8; i++)
            number = number << 8 | take(input);
        return sqlite3_bind_int64(statement, column, (int64_t)number);
    case 2:
        memset(key, "0123456789abcdef"[take(input) % 16], sizeof(key));
        return sqlite3_bind_text(statement, column, key, sizeof(key), SQLITE_TRANSIENT);
    case 3:
        return sqlite3_bind_double(statement, column, take(input) * 1e300);
    default:
        size = take(input);
        size = size < input->size ? size : input->size;
        int code = kind % 6 == 4 ? sqlite3_bind_text(statement, column, (const char *)input->data,
                                                     (int)size, SQLITE_TRANSIENT)
                                 : sqlite3_bind_blob(statement, column, input->data, (int)size,
                                                     SQLITE_TRANSIENT);
        input->data += size;
        input->size -= size;
        return code;
    }
}

static void insert_rows(struct input *input)
{
    must(sqlite3_exec(own, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
    while (input->size) {
        unsigned table = take(input) % ARRAY_LENGTH(tables);
        sqlite3_stmt *statement = NULL;
        must(sqlite3_prepare_v2(own, tables[table].insert, -1, &statement, NULL) == SQLITE_OK);
        for (int i = 1; i <= tables[table].columns; i++)
            must(bind_value(statement, i, input) == SQLITE_OK);
        must(sqlite3_step(statement) == SQLITE_DONE);
        (void)sqlite3_finalize(statement);
    }
    must(sqlite3_exec(own, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
}

/* ---- checks of what is read ---- */

static int check_row(const struct catalog_row *row, void *context)
{
    (void)context;
    must(sha256_is_hex(row->key) && row->file && row->names && row->label && row->made_by);
    return 0;
}

static int check_name(const char *name, const char *key, void *context)
{
    (void)context;
    must(name_is_valid(name) && sha256_is_hex(key));
    char found[SHA256_HEX_LENGTH + 1];
    int r = catalog_key_of_name(store->catalog, name, found);
    must(r < 0 || sha256_is_hex(found));
    return 0;
}

static int check_day(const struct catalog_day *day, void *context)
{
    (void)context;
    must(strlen(day->day) < sizeof(day->day));
    return 0;
}

/* A damaged catalog is rebuilt, so reading fails only if it is of a later version. */
static void must_read(int r)
{
    must(r == 0 || r == -EPROTONOSUPPORT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char magic[] = "SQLite format 3";
    static const char key[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct input input = {.data = data, .size = size};
    bool is_file = size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0;
    if (is_file) {
        remove_file();
        fuzz_write(file, data, size);
    } else {
        empty_tables();
        insert_rows(&input);
    }
    uint64_t bytes = 0;
    int64_t oldest_ns = 0;
    must_read(catalog_each(store->catalog, check_row, NULL));
    must_read(catalog_each_name(store->catalog, check_name, NULL));
    must_read(catalog_each_day(store->catalog, check_day, NULL));
    must_read(catalog_totals(store->catalog, &bytes, &oldest_ns));
    /* These write, which the header of the file may forbid. */
    (void)!catalog_is_verified(store->catalog, key, 0);
    (void)!catalog_hit(store->catalog, key, "name");
    (void)!catalog_count_failure(store->catalog);
    (void)!catalog_reconcile(store->catalog);
    return 0;
}
