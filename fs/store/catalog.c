#include "fs/store/catalog.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/store/catalog_db.h"
#include "fs/store/catalog_internal.h"
#include "fs/store/catalog_wait.h"

struct catalog {
    struct store *store;
    pthread_mutex_t mutex; /* over all below, and over each use of the connection */
    sqlite3 *db;           /* NULL: not open */
    struct stat opened;    /* the file that db is */
    struct catalog_wait wait;
    pid_t owner;
    bool read_only_is_said;
};

int catalog_new(struct store *store, struct catalog **ret_catalog)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    if (!catalog)
        return log_errno(ENOMEM, "catalog");
    catalog->store = store;
    catalog->wait = (struct catalog_wait){.store = store};
    (void)pthread_mutex_init(&catalog->mutex, NULL);
    *ret_catalog = catalog;
    return 0;
}

static void drop(struct catalog *catalog)
{
    /* SQLite's rule: a connection must not be touched by a child of who opened it. */
    if (catalog->db && catalog->owner == getpid())
        (void)sqlite3_close(catalog->db);
    catalog->db = NULL;
}

void catalog_close(struct catalog *catalog)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&catalog->mutex);
    drop(catalog);
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    drop(catalog);
    (void)pthread_mutex_destroy(&catalog->mutex);
    free(catalog);
}

const struct store *catalog_store(const struct catalog *catalog)
{
    return catalog->store;
}

const char *catalog_library_version(void)
{
    return sqlite3_libversion();
}

static bool is_opened(const struct catalog *catalog, const struct stat *status)
{
    return status->st_dev == catalog->opened.st_dev && status->st_ino == catalog->opened.st_ino;
}

/* Leaves catalog->db open on the file that has the name now. */
static int ensure_open(struct catalog *catalog)
{
    struct stat now = {0};
    (void)fstatat(catalog->store->v1_fd, CATALOG_FILE, &now, AT_SYMLINK_NOFOLLOW);
    if (catalog->db && (catalog->owner != getpid() || !is_opened(catalog, &now)))
        drop(catalog);
    if (catalog->db)
        return 0;
    catalog->owner = getpid();
    return catalog_db_open(catalog->store, &catalog->wait, &catalog->db, &catalog->opened);
}

static void roll_back(sqlite3 *db)
{
    if (!sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

/*
 * A journal that cannot be made is SQLITE_CANTOPEN, one over a quota an I/O error. Where it is for
 * want of an inode, SQLite has tried to open it for reading since, and remembers ENOENT.
 */
static bool is_for_want_of_room(sqlite3 *db, int r)
{
    int cause = sqlite3_system_errno(db);
    return r == -ENOSPC || ((r == -EACCES || r == -EIO) && (cause == ENOSPC || cause == EDQUOT)) ||
           (r == -EACCES && cause == ENOENT);
}

/* On a full disk once more, with the journal in memory. */
static int run(sqlite3 *db, catalog_operation *operate, void *arguments)
{
    int r = operate(db, arguments);
    if (r >= 0 || !is_for_want_of_room(db, r))
        return r;
    roll_back(db);
    (void)sqlite3_exec(db, "PRAGMA journal_mode=MEMORY", NULL, NULL, NULL);
    r = operate(db, arguments);
    r = r < 0 && is_for_want_of_room(db, r) ? -ENOSPC : r;
    roll_back(db);
    (void)sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    return r;
}

/* That it cannot be written is told once: a command that cannot note one use cannot note others. */
static void warn(struct catalog *catalog, int error)
{
    if (error == -EROFS && catalog->read_only_is_said)
        return;
    log_warning("catalog %s/v1/%s: %s", catalog->store->path, CATALOG_FILE,
                error == -EROFS ? "cannot be written, so this use is not counted"
                                : strerror(-error));
    catalog->read_only_is_said |= error == -EROFS;
}

int catalog_use(struct catalog *catalog, catalog_operation *operate, void *arguments)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&catalog->mutex);
    for (int attempt = 1;; attempt++) {
        int r = ensure_open(catalog);
        if (r < 0)
            return r;
        r = run(catalog->db, operate, arguments);
        if (r != -EBUSY)
            catalog_wait_end(&catalog->wait);
        if (r >= 0 || r == -ENOENT)
            return r;
        roll_back(catalog->db);
        /* Looked at while the connection keeps its inode's number from being used again. */
        struct stat seen = {0};
        (void)fstatat(catalog->store->v1_fd, CATALOG_FILE, &seen, AT_SYMLINK_NOFOLLOW);
        /* Whatever it was that a file which has lost its name answered, the new one has its say. */
        bool is_replaced = !is_opened(catalog, &seen);
        if (r == -EBUSY && !is_replaced)
            return r; /* said */
        if ((r != -EBADMSG && !is_replaced) || attempt == CATALOG_ATTEMPTS) {
            warn(catalog, r);
            return r;
        }
        drop(catalog);
        r = is_replaced ? 0 : catalog_db_rebuild(catalog->store, &seen, "damaged");
        if (r < 0)
            return r;
    }
}

int catalog_begin(sqlite3 *db, bool durable)
{
    int code = sqlite3_exec(db, durable ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=OFF",
                            NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    return catalog_db_error(code);
}

int catalog_commit(sqlite3 *db)
{
    return catalog_db_error(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
}

/* A use always changes last_used_ns: that is how eviction sees that one came between. */
#define USED_AT(n)                                                                                 \
    "last_used_ns = CASE WHEN last_used_ns > " n " THEN last_used_ns + 1 ELSE " n " END"

static int set_name(sqlite3 *db, const char *name, const char *key)
{
    if (!name)
        return 0;
    return catalog_db_run(db,
                          "INSERT INTO names(name, key, since_ns) VALUES(?1, ?2, ?3)"
                          " ON CONFLICT(name) DO UPDATE SET key = ?2, since_ns = ?3",
                          "ssi", name, key, clock_real_ns());
}

int catalog_row_fingerprint(sqlite3 *db, const char *key, int64_t *ret_fingerprint)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = catalog_db_prepare(db, &statement, "SELECT verified FROM templates WHERE key = ?1", "s",
                               key);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return catalog_db_error(sqlite3_extended_errcode(db));
    *ret_fingerprint = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : FINGERPRINT_NONE;
    return 0;
}

struct question {
    const char *key;
    int64_t fingerprint;
};

static int is_verified(sqlite3 *db, void *arguments)
{
    const struct question *question = arguments;
    int64_t known = FINGERPRINT_NONE;
    int r = catalog_row_fingerprint(db, question->key, &known);
    return r < 0 ? r : known != FINGERPRINT_NONE && known == question->fingerprint;
}

int catalog_is_verified(struct catalog *catalog, const char *key, int64_t fingerprint)
{
    struct question question = {.key = key, .fingerprint = fingerprint};
    return catalog_use(catalog, is_verified, &question);
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
    bool built_now;
    const char *name;
};

static int add(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    const struct manifest *manifest = addition->manifest;
    struct age_reading reading = {0};
    int r = catalog_begin(db, true);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = catalog_db_enter(db, addition->store, manifest, addition->fingerprint);
    if (r == 0)
        r = set_name(db, addition->name, manifest->key);
    if (r == 0 && addition->built_now)
        r = catalog_db_run(db,
                           "INSERT INTO days(day, misses, builds, build_time_ns, built_bytes)"
                           " VALUES(date('now', 'localtime'), 1, 1, ?1, ?2)"
                           " ON CONFLICT(day) DO UPDATE SET misses = misses + 1,"
                           " builds = builds + 1, build_time_ns = build_time_ns + ?1, built_bytes "
                           "= built_bytes + ?2",
                           "ii", manifest->build_time_ns, (int64_t)manifest_size_bytes(manifest));
    if (r == 0 && addition->built_now)
        r = catalog_db_run(db, "UPDATE templates SET last_used_ns = ?1 WHERE key = ?2", "is",
                           reading.use_ns, manifest->key);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_add(struct catalog *catalog, const struct manifest *manifest, int64_t fingerprint,
                bool built_now, const char *name)
{
    struct addition addition = {.store = catalog->store,
                                .manifest = manifest,
                                .fingerprint = fingerprint,
                                .built_now = built_now,
                                .name = name};
    return catalog_use(catalog, add, &addition);
}

static int refresh(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    int r = catalog_begin(db, true);
    int64_t known = FINGERPRINT_NONE;
    if (r == 0)
        r = catalog_row_fingerprint(db, addition->manifest->key, &known);
    if (r == 0)
        r = catalog_db_enter(db, addition->store, addition->manifest, known);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_refresh(struct catalog *catalog, const struct manifest *manifest)
{
    struct addition addition = {.store = catalog->store, .manifest = manifest};
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
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = catalog_db_run(db,
                           "UPDATE templates SET hits = hits + 1, " USED_AT(
                               "?1") ", saved_ns = saved_ns + build_time_ns"
                                     " WHERE key = ?2 AND verified",
                           "is", reading.use_ns, hit->key);
    if (r == 0 && sqlite3_changes(db) == 0)
        return catalog_db_error(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL));
    if (r == 0)
        r = set_name(db, hit->name, hit->key);
    if (r == 0)
        r = catalog_db_run(db,
                           "INSERT INTO days(day, hits, saved_ns) SELECT date('now', 'localtime'),"
                           " 1, build_time_ns FROM templates WHERE key = ?1"
                           " ON CONFLICT(day) DO UPDATE SET hits = hits + 1,"
                           " saved_ns = saved_ns + excluded.saved_ns",
                           "s", hit->key);
    if (r == 0)
        r = catalog_commit(db);
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
    int r = catalog_begin(db, true);
    if (r == 0)
        r = catalog_db_run(db, "DELETE FROM templates WHERE key = ?1", "s", key);
    if (r == 0)
        r = catalog_db_run(db, "DELETE FROM names WHERE key = ?1", "s", key);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_forget(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, forget, copy);
}

static int count_failure(sqlite3 *db, void *arguments UNUSED)
{
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_db_run(db,
                           "INSERT INTO days(day, misses) VALUES(date('now', 'localtime'), 1)"
                           " ON CONFLICT(day) DO UPDATE SET misses = misses + 1",
                           "");
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_count_failure(struct catalog *catalog)
{
    return catalog_use(catalog, count_failure, NULL);
}

static int count_use(sqlite3 *db, void *arguments)
{
    const uint64_t *counts = arguments;
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_db_run(db,
                           "INSERT INTO days(day, sessions, requests)"
                           " VALUES(date('now', 'localtime'), ?1, ?2)"
                           " ON CONFLICT(day) DO UPDATE SET sessions = sessions + ?1,"
                           " requests = requests + ?2",
                           "ii", (int64_t)counts[0], (int64_t)counts[1]);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_count_use(struct catalog *catalog, uint64_t sessions, uint64_t requests)
{
    uint64_t counts[] = {sessions, requests};
    return sessions || requests ? catalog_use(catalog, count_use, counts) : 0;
}

static int touch(sqlite3 *db, void *key)
{
    struct age_reading reading;
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_clock_tick(db, &reading);
    if (r == 0)
        r = catalog_db_run(db, "UPDATE templates SET " USED_AT("?1") " WHERE key = ?2", "is",
                           reading.use_ns, (const char *)key);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_touch(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, touch, copy);
}

struct pin {
    const char *key;
    bool pinned;
};

static int set_pin(sqlite3 *db, void *arguments)
{
    const struct pin *pin = arguments;
    int r = catalog_begin(db, true);
    if (r == 0)
        r = catalog_db_run(db, "UPDATE templates SET pinned = ?1 WHERE key = ?2", "is",
                           (int64_t)pin->pinned, pin->key);
    bool is_known = r == 0 && sqlite3_changes(db) > 0;
    if (r == 0)
        r = catalog_commit(db);
    return r < 0 ? r : is_known ? 0 : -ENOENT;
}

int catalog_pin(struct catalog *catalog, const char *key, bool pinned)
{
    struct pin pin = {.key = key, .pinned = pinned};
    return catalog_use(catalog, set_pin, &pin);
}

struct naming {
    const char *name;
    const char *key;
};

static int change_name(sqlite3 *db, void *arguments)
{
    const struct naming *naming = arguments;
    int r = catalog_begin(db, true);
    if (r == 0)
        r = naming->key
                ? set_name(db, naming->name, naming->key)
                : catalog_db_run(db, "DELETE FROM names WHERE name = ?1", "s", naming->name);
    bool was_there = r == 0 && sqlite3_changes(db) > 0;
    if (r == 0)
        r = catalog_commit(db);
    return r < 0 ? r : was_there ? 0 : -ENOENT;
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
    int r = catalog_db_prepare(db, &statement, "SELECT key FROM names WHERE name = ?1", "s",
                               query->name);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        return -ENOENT;
    if (code != SQLITE_ROW)
        return catalog_db_error(sqlite3_extended_errcode(db));
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
