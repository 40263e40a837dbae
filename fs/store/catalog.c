#include "fs/store/catalog.h"

#include <sqlite3.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/store/catalog_clock.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/catalog_db.h"
#include "fs/store/fingerprint.h"
#include "fs/store/sql.h"

/* A use always changes last_used_ns, so that eviction notices a use since it read the row. */
#define USED_AT(n)                                                                                 \
    "last_used_ns = CASE WHEN last_used_ns > " n " THEN last_used_ns + 1 ELSE " n " END"

static int set_name(sqlite3 *db, const char *name, const char *key)
{
    if (!name)
        return 0;
    return sql_run(db,
                   "INSERT INTO names(name, key, since_ns) VALUES(?1, ?2, ?3)"
                   " ON CONFLICT(name) DO UPDATE SET key = ?2, since_ns = ?3",
                   "ssi", name, key, clock_real_ns());
}

struct verified_query {
    const char *key;
    int64_t fingerprint;
};

static int is_verified(sqlite3 *db, void *arguments)
{
    const struct verified_query *query = arguments;
    int64_t known = FINGERPRINT_NONE;
    int r = catalog_row_fingerprint(db, query->key, &known);
    return r < 0 ? r : known != FINGERPRINT_NONE && known == query->fingerprint;
}

int catalog_is_verified(struct catalog *catalog, const char *key, int64_t fingerprint)
{
    struct verified_query query = {.key = key, .fingerprint = fingerprint};
    return catalog_use(catalog, is_verified, &query);
}

static int was_verified(sqlite3 *db, void *key)
{
    int64_t known = FINGERPRINT_NONE;
    int r = catalog_row_fingerprint(db, key, &known);
    return r < 0 ? r : known != FINGERPRINT_NONE;
}

int catalog_was_verified(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, was_verified, copy);
}

struct addition {
    const struct store *store;
    const struct manifest *manifest;
    int64_t fingerprint;
    const char *name; /* or NULL */
};

static int add(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    struct age_reading reading = {0};
    int r = sql_begin(db);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = catalog_db_enter(db, addition->store, addition->manifest, addition->fingerprint);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_add(struct catalog *catalog, const struct manifest *manifest, int64_t fingerprint)
{
    struct addition addition = {
        .store = catalog_store(catalog), .manifest = manifest, .fingerprint = fingerprint};
    return catalog_use(catalog, add, &addition);
}

static int add_built(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    const struct manifest *manifest = addition->manifest;
    struct age_reading reading = {0};
    int r = sql_begin(db);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = catalog_db_enter(db, addition->store, manifest, addition->fingerprint);
    if (r == 0)
        r = set_name(db, addition->name, manifest->key);
    if (r == 0)
        r = sql_run(db,
                    "INSERT INTO days(day, misses, builds, build_time_ns, built_bytes)"
                    " VALUES(date('now', 'localtime'), 1, 1, ?1, ?2)"
                    " ON CONFLICT(day) DO UPDATE SET misses = misses + 1,"
                    " builds = builds + 1, build_time_ns = build_time_ns + ?1, built_bytes "
                    "= built_bytes + ?2",
                    "ii", manifest->build_time_ns, (int64_t)manifest_size_bytes(manifest));
    if (r == 0)
        r = sql_run(db, "UPDATE templates SET last_used_ns = ?1 WHERE key = ?2", "is",
                    reading.use_ns, manifest->key);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_add_built(struct catalog *catalog, const struct manifest *manifest, int64_t fingerprint,
                      const char *name)
{
    struct addition addition = {.store = catalog_store(catalog),
                                .manifest = manifest,
                                .fingerprint = fingerprint,
                                .name = name};
    return catalog_use(catalog, add_built, &addition);
}

static int refresh(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    int r = sql_begin(db);
    int64_t known = FINGERPRINT_NONE;
    if (r == 0)
        r = catalog_row_fingerprint(db, addition->manifest->key, &known);
    if (r == 0)
        r = catalog_db_enter(db, addition->store, addition->manifest, known);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_refresh(struct catalog *catalog, const struct manifest *manifest)
{
    struct addition addition = {.store = catalog_store(catalog), .manifest = manifest};
    return catalog_use(catalog, refresh, &addition);
}

struct hit {
    const char *key;
    const char *name;
};

static int count_hit(sqlite3 *db, void *arguments)
{
    const struct hit *hit = arguments;
    struct age_reading reading;
    int r = sql_begin_fast(db);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = sql_run(db,
                    "UPDATE templates SET hits = hits + 1, " USED_AT(
                        "?1") ", saved_ns = saved_ns + build_time_ns"
                              " WHERE key = ?2 AND verified",
                    "is", reading.use_ns, hit->key);
    if (r == 0 && sqlite3_changes(db) == 0)
        return sql_error(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL));
    if (r == 0)
        r = set_name(db, hit->name, hit->key);
    if (r == 0)
        r = sql_run(db,
                    "INSERT INTO days(day, hits, saved_ns) SELECT date('now', 'localtime'),"
                    " 1, build_time_ns FROM templates WHERE key = ?1"
                    " ON CONFLICT(day) DO UPDATE SET hits = hits + 1,"
                    " saved_ns = saved_ns + excluded.saved_ns",
                    "s", hit->key);
    if (r == 0)
        r = sql_commit(db);
    return r == 0 ? 1 : r;
}

int catalog_hit(struct catalog *catalog, const char *key, const char *name)
{
    struct hit hit = {.key = key, .name = name};
    return catalog_use(catalog, count_hit, &hit);
}

static int forget(sqlite3 *db, void *arguments)
{
    const char *key = arguments;
    int r = sql_begin(db);
    if (r == 0)
        r = sql_run(db, "DELETE FROM templates WHERE key = ?1", "s", key);
    if (r == 0)
        r = sql_run(db, "DELETE FROM names WHERE key = ?1", "s", key);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_forget(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, forget, copy);
}

static int touch(sqlite3 *db, void *key)
{
    struct age_reading reading;
    int r = sql_begin_fast(db);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = sql_run(db, "UPDATE templates SET " USED_AT("?1") " WHERE key = ?2", "is",
                    reading.use_ns, (const char *)key);
    return r == 0 ? sql_commit(db) : r;
}

int catalog_touch(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, touch, copy);
}

struct naming {
    const char *name;
    const char *key;
};

static int change_name(sqlite3 *db, void *arguments)
{
    const struct naming *naming = arguments;
    int r = sql_begin(db);
    if (r == 0)
        r = naming->key ? set_name(db, naming->name, naming->key)
                        : sql_run(db, "DELETE FROM names WHERE name = ?1", "s", naming->name);
    bool existed = r == 0 && sqlite3_changes(db) > 0;
    if (r == 0)
        r = sql_commit(db);
    return r < 0 ? r : existed ? 0 : -ENOENT;
}

int catalog_name(struct catalog *catalog, const char *name, const char *key)
{
    struct naming naming = {.name = name, .key = key};
    return catalog_use(catalog, change_name, &naming);
}

struct name_query {
    const char *name;
    char *ret_key;
};

static int key_of_name(sqlite3 *db, void *arguments)
{
    const struct name_query *query = arguments;
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sql_prepare(db, &statement, "SELECT key FROM names WHERE name = ?1", "s", query->name);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        return -ENOENT;
    if (code != SQLITE_ROW)
        return sql_error(sqlite3_extended_errcode(db));
    const char *key = (const char *)sqlite3_column_text(statement, 0);
    if (!key || !sha256_is_hex(key))
        return -EBADMSG;
    memcpy(query->ret_key, key, SHA256_HEX_LENGTH + 1);
    return 0;
}

int catalog_key_of_name(struct catalog *catalog, const char *name,
                        char ret_key[SHA256_HEX_LENGTH + 1])
{
    struct name_query query = {.name = name, .ret_key = ret_key};
    return catalog_use(catalog, key_of_name, &query);
}
