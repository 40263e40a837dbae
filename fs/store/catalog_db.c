/*
 * catalog.db, application ID 'mint', user_version 1:
 *
 *   templates  a row for each known template; verified: the fingerprint (fs/store/fingerprint.h)
 *              that its files had when they matched the manifest, 0: not compared yet; times in ns
 *              since the epoch; label and made_by: the name at its build, and the builder's command
 *   names      the key of each name, and since when
 *   clock      fs/store/age.h; earlier versions have no such table
 *   days       sums by day (local time, YYYY-MM-DD)
 *
 * The catalog has a rollback journal and no WAL, so that it is one file, which rename(2) replaces
 * under readers without the log of the old one being applied to the new. Commits that only count a
 * use run with synchronous=OFF: what a crash of the machine can damage is rebuilt.
 */
#include "fs/store/catalog_db.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/store/catalog_file.h"
#include "fs/store/catalog_place.h"
#include "fs/store/fingerprint.h"
#include "fs/store/lock_names.h"
#include "fs/store/names.h"
#include "fs/store/pin.h"
#include "fs/store/sql.h"
#include "fs/store/sqlite_header.h"
#include "fs/store/template_dir.h"

static const char new_file[] = CATALOG_FILE ".new";
static const char schema[] =
    "PRAGMA application_id = 0x6d696e74; PRAGMA user_version = 1;"
    "CREATE TABLE templates("
    "  key TEXT PRIMARY KEY NOT NULL, file TEXT NOT NULL, size_bytes INTEGER NOT NULL,"
    "  file_count INTEGER NOT NULL, created_ns INTEGER NOT NULL, build_time_ns INTEGER NOT NULL,"
    "  last_used_ns INTEGER NOT NULL, hits INTEGER NOT NULL DEFAULT 0,"
    "  saved_ns INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0,"
    "  verified INTEGER NOT NULL DEFAULT 0, label TEXT NOT NULL DEFAULT '',"
    "  made_by TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE TABLE names("
    "  name TEXT PRIMARY KEY NOT NULL, key TEXT NOT NULL, since_ns INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE INDEX names_by_key ON names(key);"
    "CREATE TABLE clock(id INTEGER PRIMARY KEY CHECK(id = 1), accepted_ns INTEGER NOT NULL,"
    "  doubted_ns INTEGER NOT NULL);"
    "CREATE TABLE days("
    "  day TEXT PRIMARY KEY NOT NULL, hits INTEGER NOT NULL DEFAULT 0,"
    "  misses INTEGER NOT NULL DEFAULT 0, builds INTEGER NOT NULL DEFAULT 0,"
    "  build_time_ns INTEGER NOT NULL DEFAULT 0, saved_ns INTEGER NOT NULL DEFAULT 0,"
    "  built_bytes INTEGER NOT NULL DEFAULT 0, evicted INTEGER NOT NULL DEFAULT 0,"
    "  evicted_bytes INTEGER NOT NULL DEFAULT 0, sessions INTEGER NOT NULL DEFAULT 0,"
    "  requests INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;";

/* The builder's command, for people, cut to a limit. */
static char *describe_builder(const struct manifest *manifest)
{
    enum { LENGTH_MAX = 200 };
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    for (size_t i = 0; manifest->builder && manifest->builder[i] && i < LENGTH_MAX; i++)
        (void)fprintf(stream, "%s%.*s", i ? " " : "", LENGTH_MAX, manifest->builder[i]);
    if (fclose(stream) != 0)
        return NULL;
    if (size > LENGTH_MAX) {
        size_t end = LENGTH_MAX;
        while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
            end--;
        text[end] = '\0';
    }
    return steal_pointer(&text);
}

/* When the template was published or unpacked, by its directory's inode; never in the future. */
static int64_t arrival_ns(const struct store *store, const struct manifest *manifest)
{
    struct stat status;
    int64_t now_ns = clock_real_ns();
    int64_t ns = manifest->created_ns;
    if (fstatat(store->templates_fd, manifest->key, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        int64_t changed_ns = clock_from_timespec(&status.st_ctim);
        ns = changed_ns > ns ? changed_ns : ns;
    }
    return ns < now_ns ? ns : now_ns;
}

int catalog_db_enter(sqlite3 *db, const struct store *store, const struct manifest *manifest,
                     int64_t fingerprint)
{
    AUTO_FREE char *made_by = describe_builder(manifest);
    if (!made_by)
        return -ENOMEM;
    /* A template that was built while the clock was ahead must not keep its name forever. */
    int64_t now_ns = clock_real_ns();
    int64_t since_ns = manifest->created_ns < now_ns ? manifest->created_ns : now_ns;
    int64_t files = 0;
    for (size_t i = 0; i < manifest->entry_count; i++)
        files += manifest->entries[i].type == ENTRY_FILE;
    int r = sql_run(
        db,
        "INSERT INTO templates(key, file, size_bytes, file_count, created_ns, build_time_ns,"
        " last_used_ns, verified, pinned, label, made_by)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?11, ?7, ?8, ?9, ?10)"
        " ON CONFLICT(key) DO UPDATE SET file = ?2, size_bytes = ?3, file_count = ?4,"
        " created_ns = ?5, build_time_ns = ?6, verified = ?7, pinned = ?8, label = ?9,"
        " made_by = ?10",
        "ssiiiiiissi", manifest->key, manifest->file, (int64_t)manifest_size_bytes(manifest), files,
        manifest->created_ns, manifest->build_time_ns, fingerprint,
        (int64_t)pin_exists(store, manifest->key),
        manifest->name && name_is_valid(manifest->name) ? manifest->name : "", made_by,
        arrival_ns(store, manifest));
    if (r == 0 && manifest->name && name_is_valid(manifest->name))
        r = sql_run(db,
                    "INSERT INTO names(name, key, since_ns) VALUES(?1, ?2, ?3)"
                    " ON CONFLICT(name) DO UPDATE SET key = ?2, since_ns = ?3"
                    " WHERE since_ns < ?3",
                    "ssi", manifest->name, manifest->key, since_ns);
    return r;
}

int catalog_row_fingerprint(sqlite3 *db, const char *key, int64_t *ret_fingerprint)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sql_prepare(db, &statement, "SELECT verified FROM templates WHERE key = ?1", "s", key);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sql_error(sqlite3_extended_errcode(db));
    *ret_fingerprint = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : FINGERPRINT_NONE;
    return 0;
}

struct rebuild {
    const struct store *store;
    sqlite3 *db;
    size_t count;
};

static int enter_template(const char *key, const char *same UNUSED, void *context)
{
    struct rebuild *rebuild = context;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    int r = template_read_manifest(rebuild->store, key, &manifest);
    /* A damaged manifest has been logged; its template is left out. */
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    rebuild->count++;
    return catalog_db_enter(rebuild->db, rebuild->store, manifest, FINGERPRINT_NONE);
}

/* Fills an empty database from the manifests. */
static int fill(struct rebuild *rebuild, sqlite3 *db)
{
    int r = sql_error(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL));
    if (r == 0)
        r = sql_error(sqlite3_exec(db, schema, NULL, NULL, NULL));
    rebuild->db = db;
    if (r == 0)
        r = template_each_key(rebuild->store, enter_template, rebuild);
    if (r == 0)
        r = sql_error(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
    return r;
}

static int fill_new(struct rebuild *rebuild)
{
    AUTO_DB sqlite3 *db = NULL;
    int r = catalog_file_open(rebuild->store, new_file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                              &db);
    return r == 0 ? fill(rebuild, db) : r;
}

/* For one command on a full disk, so that gc and evict can free the room for a file. */
static int open_in_memory(const struct store *store, sqlite3 **ret_db)
{
    AUTO_DB sqlite3 *db = NULL;
    struct rebuild rebuild = {.store = store};
    int r = sql_error(
        sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL));
    if (r == 0)
        r = catalog_file_harden(db);
    if (r == 0)
        r = fill(&rebuild, db);
    if (r < 0)
        return log_errno(r, "catalog %s/v1/%s", store->path, CATALOG_FILE);
    log_info("it is rebuilt from %zu manifest%s, in memory for this command", rebuild.count,
             rebuild.count == 1 ? "" : "s");
    *ret_db = steal_pointer(&db);
    return 0;
}

static int remove_if_exists(int dirfd, const char *name)
{
    int r = io_unlinkat(dirfd, name, 0);
    return r == -ENOENT ? 0 : r;
}

static int remove_new(int v1_fd)
{
    int r = remove_if_exists(v1_fd, CATALOG_FILE ".new" SQLITE_JOURNAL_SUFFIX);
    return r == 0 ? remove_if_exists(v1_fd, new_file) : r;
}

static int replace(struct rebuild *rebuild)
{
    int v1_fd = rebuild->store->v1_fd;
    int r = remove_new(v1_fd);
    if (r == 0)
        r = fill_new(rebuild);
    /* A partial file would take room that other processes need. */
    if (r < 0)
        (void)!remove_new(v1_fd);
    /* A hot journal of the old file would be applied to the new one. */
    if (r == 0)
        r = remove_if_exists(v1_fd, CATALOG_FILE SQLITE_JOURNAL_SUFFIX);
    if (r == 0)
        r = io_renameat(v1_fd, new_file, v1_fd, CATALOG_FILE);
    if (r == 0)
        r = io_fsync(v1_fd);
    return r;
}

/* The inode number alone may have been used again for a new file. */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int catalog_db_rebuild(const struct store *store, const struct stat *seen, const char *why)
{
    AUTO_LOCK struct lock lock = LOCK_INIT;
    int r;
    do
        r = lock_take(&lock, store->locks_fd, LOCK_NAME_CATALOG, LOCK_EXCLUSIVE, LOCK_WAIT);
    while (r == -EINTR);
    struct stat now = {0};
    if (r == 0) {
        (void)fstatat(store->v1_fd, CATALOG_FILE, &now, AT_SYMLINK_NOFOLLOW);
        if (!is_same(&now, seen))
            return 0;
        struct rebuild rebuild = {.store = store};
        r = replace(&rebuild);
        if (r == 0 && (seen->st_ino || rebuild.count))
            log_warning("catalog %s/v1/%s was %s: rebuilt from %zu manifest%s", store->path,
                        CATALOG_FILE, why, rebuild.count, rebuild.count == 1 ? "" : "s");
    }
    if (r < 0)
        return log_errno(r, "catalog %s/v1/%s is %s and cannot be rebuilt", store->path,
                         CATALOG_FILE, why);
    return 0;
}

int catalog_db_open(const struct store *store, struct catalog_wait *wait, sqlite3 **ret_db,
                    struct stat *ret_status)
{
    for (int attempt = 1;; attempt++) {
        int64_t version = 0;
        int r = catalog_place_prepare(store);
        if (r < 0)
            return r;
        r = catalog_file_open_existing(store, wait, ret_db, ret_status, &version);
        if (r == 0 || r == -EBUSY)
            return r;
        if ((r != -ENOENT && r != -EBADMSG) || attempt == CATALOG_ATTEMPTS)
            return catalog_file_log_failure(store, r, version);
        r = catalog_db_rebuild(store, ret_status, r == -ENOENT ? "missing" : "damaged");
        if (r == -ENOSPC)
            return open_in_memory(store, ret_db);
        if (r < 0)
            return r;
    }
}
