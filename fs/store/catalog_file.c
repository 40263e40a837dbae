#include "fs/store/catalog_file.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/catalog_place.h"
#include "fs/store/sql.h"
#include "fs/store/sqlite_path.h"

enum { APPLICATION_ID = 0x6d696e74, SCHEMA_VERSION = 1 };

/* As catalog_file_open_existing(). */
static int check_identity(sqlite3 *db, int64_t *ret_version)
{
    int64_t id = 0;
    *ret_version = 0;
    int r = sql_number(db, "PRAGMA application_id", &id);
    if (r == 0)
        r = sql_number(db, "PRAGMA user_version", ret_version);
    if (r < 0)
        return r;
    if (id != APPLICATION_ID || *ret_version < 1)
        return -EBADMSG;
    return *ret_version > SCHEMA_VERSION ? -EPROTONOSUPPORT : 0;
}

/* SQLite reports every file that it cannot open by the same code. */
static int add_cause(sqlite3 *db, int r)
{
    int cause = db ? sqlite3_system_errno(db) : 0;
    return r == -EACCES && (cause == EMFILE || cause == ENFILE) ? -cause : r;
}

char *catalog_file_describe_failure(const struct store *store, int error, int64_t version)
{
    struct stat status;
    if (error == -EPROTONOSUPPORT)
        return text_format(
            "catalog %s/v1/%s: made by a later mintfs (version %lld, this one reads %d); "
            "update mintfs, or use another store",
            store->path, CATALOG_FILE, (long long)version, SCHEMA_VERSION);
    if (error == -EMFILE)
        return text_format(
            "catalog %s/v1/%s: %s (ulimit -n); run mintfs where that limit is higher, as "
            "with: ulimit -n 1024",
            store->path, CATALOG_FILE, strerror(EMFILE));
    if (error == -EACCES &&
        fstatat(store->v1_fd, CATALOG_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_uid != geteuid())
        return text_format(
            "catalog %s/v1/%s belongs to user %u, and you (%u) may not read it; take over "
            "the store with: sudo chown -R %u:%u '%s'",
            store->path, CATALOG_FILE, status.st_uid, geteuid(), geteuid(), getegid(), store->path);
    if (error == -EIO || error == -EACCES)
        return text_format(
            "catalog %s/v1/%s: %s; it is rebuilt from the manifests after: mv '%s/v1/%s' "
            "'%s/v1/%s.aside'",
            store->path, CATALOG_FILE, strerror(-error), store->path, CATALOG_FILE, store->path,
            CATALOG_FILE);
    return text_format("catalog %s/v1/%s: %s", store->path, CATALOG_FILE, strerror(-error));
}

int catalog_file_log_failure(const struct store *store, int error, int64_t version)
{
    AUTO_FREE char *text = catalog_file_describe_failure(store, error, version);
    return text ? log_fail(error, "%s", text) : log_errno(error, "catalog");
}

int catalog_file_harden(sqlite3 *db)
{
    int code = sqlite3_extended_result_codes(db, 1);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return sql_error(code);
}

int catalog_file_open(const struct store *store, const char *name, int flags, sqlite3 **ret_db)
{
    AUTO_FREE char *v1_path = text_format("%s/v1", store->path);
    if (!v1_path)
        return -ENOMEM;
    AUTO_SQLITE_PATH struct sqlite_path path = SQLITE_PATH_INIT;
    int r = sqlite_path_find(store->v1_fd, v1_path, name, &path);
    if (r < 0)
        return r;
    AUTO_DB sqlite3 *db = NULL;
    int code = sqlite3_open_v2(path.text, &db, flags | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                               sqlite_path_vfs());
    r = code == SQLITE_OK ? catalog_file_harden(db) : add_cause(db, sql_error(code));
    if (r == 0)
        *ret_db = steal_pointer(&db);
    return r;
}

int catalog_file_open_existing(const struct store *store, struct catalog_wait *wait,
                               sqlite3 **ret_db, struct stat *ret_status, int64_t *ret_version)
{
    for (;;) {
        struct stat before;
        struct stat after;
        *ret_status = (struct stat){0};
        if (fstatat(store->v1_fd, CATALOG_FILE, &before, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        *ret_status = before;
        AUTO_DB sqlite3 *db = NULL;
        int r = catalog_file_open(store, CATALOG_FILE, SQLITE_OPEN_READWRITE, &db);
        if (r == 0 && wait)
            r = catalog_wait_install(wait, db);
        if (r == 0)
            r = add_cause(db, check_identity(db, ret_version));
        if (fstatat(store->v1_fd, CATALOG_FILE, &after, AT_SYMLINK_NOFOLLOW) < 0 ||
            before.st_ino != after.st_ino || before.st_dev != after.st_dev)
            continue;
        if (r == 0)
            *ret_db = steal_pointer(&db);
        return r;
    }
}

int catalog_file_check_tables(sqlite3 *db)
{
    int64_t rows;
    return sql_number(db,
                      "SELECT (SELECT count(*) FROM templates) + (SELECT count(*) FROM names)"
                      " + (SELECT count(*) FROM days)",
                      &rows);
}
