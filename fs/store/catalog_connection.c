#include "fs/store/catalog_connection.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/store/catalog_db.h"
#include "fs/store/catalog_place.h"
#include "fs/store/catalog_wait.h"

struct catalog {
    const struct store *store;
    pthread_mutex_t mutex; /* guards all that follows, and each use of the connection */
    sqlite3 *db;           /* NULL: not open */
    struct stat opened;    /* the file that db has open */
    struct catalog_wait wait;
    pid_t owner;
    bool read_only_is_logged;
};

int catalog_new(const struct store *store, struct catalog **ret_catalog)
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
    /* SQLite's rule: a child process must not use its parent's connection. */
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

static bool is_opened(const struct catalog *catalog, const struct stat *status)
{
    return status->st_dev == catalog->opened.st_dev && status->st_ino == catalog->opened.st_ino;
}

/* Opens catalog->db, again if another file has the name by now. */
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
 * Where a journal cannot be created, SQLite reports SQLITE_CANTOPEN, and over a quota an I/O error.
 * If there is no inode left, it then tries to open the journal for reading, which leaves ENOENT.
 */
static bool lacks_room(sqlite3 *db, int r)
{
    int cause = sqlite3_system_errno(db);
    return r == -ENOSPC || ((r == -EACCES || r == -EIO) && (cause == ENOSPC || cause == EDQUOT)) ||
           (r == -EACCES && cause == ENOENT);
}

/* On a full disk it tries again, with the journal in memory. */
static int run(sqlite3 *db, catalog_operation *operate, void *arguments)
{
    int r = operate(db, arguments);
    if (r >= 0 || !lacks_room(db, r))
        return r;
    roll_back(db);
    (void)sqlite3_exec(db, "PRAGMA journal_mode=MEMORY", NULL, NULL, NULL);
    r = operate(db, arguments);
    r = r < 0 && lacks_room(db, r) ? -ENOSPC : r;
    roll_back(db);
    (void)sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    return r;
}

/* Logs only once that the catalog cannot be written: further uses fail in the same way. */
static void warn(struct catalog *catalog, int error)
{
    if (error == -EROFS && catalog->read_only_is_logged)
        return;
    log_warning("catalog %s/v1/%s: %s", catalog->store->path, CATALOG_FILE,
                error == -EROFS ? "cannot be written, so this use is not counted"
                                : strerror(-error));
    catalog->read_only_is_logged |= error == -EROFS;
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
        /* While the connection is open, no other file can get its inode number. */
        struct stat seen = {0};
        (void)fstatat(catalog->store->v1_fd, CATALOG_FILE, &seen, AT_SYMLINK_NOFOLLOW);
        /* After any error of a file that has been replaced, the new file is tried. */
        bool is_replaced = !is_opened(catalog, &seen);
        if (r == -EBUSY && !is_replaced)
            return r; /* logged by catalog_wait */
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
