#include "fs/store/catalog.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/store/catalog_db.h"
#include "fs/store/catalog_parts.h"
#include "fs/store/pin.h"
#include "fs/store/strlist.h"
#include "fs/store/sweep.h"
#include "fs/store/template.h"

struct catalog {
    struct store *store;
    pthread_mutex_t mutex; /* over all below, and over each use of the connection */
    sqlite3 *db;           /* NULL: not open */
    struct stat opened;    /* the file that db is */
    pid_t owner;
};

int catalog_new(struct store *store, struct catalog **ret_catalog)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    if (!catalog)
        return log_errno(ENOMEM, "catalog");
    catalog->store = store;
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

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    drop(catalog);
    (void)pthread_mutex_destroy(&catalog->mutex);
    free(catalog);
}

int64_t catalog_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
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
    return catalog_db_open(catalog->store, &catalog->db, &catalog->opened);
}

int catalog_use(struct catalog *catalog, catalog_operation *operate, void *arguments)
{
    enum { ATTEMPTS = 5 };
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&catalog->mutex);
    for (int attempt = 1;; attempt++) {
        int r = ensure_open(catalog);
        if (r < 0)
            return r;
        r = operate(catalog->db, arguments);
        if (r >= 0 || r == -ENOENT)
            return r;
        if (!sqlite3_get_autocommit(catalog->db))
            (void)sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
        if (r != -EBADMSG || attempt == ATTEMPTS) {
            log_warning("catalog %s/v1/%s: %s", catalog->store->path, CATALOG_FILE,
                        r == -EROFS ? "cannot be written, so this use is not counted"
                                    : sqlite3_errmsg(catalog->db));
            return r;
        }
        /* Looked at while the connection keeps its inode's number from being used again. */
        struct stat seen = {0};
        (void)fstatat(catalog->store->v1_fd, CATALOG_FILE, &seen, AT_SYMLINK_NOFOLLOW);
        bool is_replaced = !is_opened(catalog, &seen);
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

static int set_name(sqlite3 *db, const char *name, const char *key)
{
    if (!name)
        return 0;
    return catalog_db_run(db,
                          "INSERT INTO names(name, key, since_ns) VALUES(?1, ?2, ?3)"
                          " ON CONFLICT(name) DO UPDATE SET key = ?2, since_ns = ?3",
                          "ssi", name, key, catalog_now_ns());
}

static int is_verified(sqlite3 *db, void *key)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = catalog_db_prepare(db, &statement,
                               "SELECT 1 FROM templates WHERE key = ?1 AND verified", "s", key);
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return catalog_db_error(sqlite3_extended_errcode(db));
    return code == SQLITE_ROW;
}

int catalog_is_verified(struct catalog *catalog, const char *key)
{
    char copy[SHA256_HEX_LENGTH + 1];
    (void)snprintf(copy, sizeof(copy), "%s", key);
    return catalog_use(catalog, is_verified, copy);
}

struct addition {
    const struct manifest *manifest;
    bool built_now;
    bool pinned;
    const char *name;
};

static int add(sqlite3 *db, void *arguments)
{
    const struct addition *addition = arguments;
    const struct manifest *manifest = addition->manifest;
    int r = catalog_begin(db, true);
    if (r == 0)
        r = catalog_db_enter(db, manifest, true, addition->pinned);
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
                           catalog_now_ns(), manifest->key);
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_add(struct catalog *catalog, const struct manifest *manifest, bool built_now,
                const char *name)
{
    struct addition addition = {.manifest = manifest,
                                .built_now = built_now,
                                .pinned = pin_exists(catalog->store, manifest->key),
                                .name = name};
    return catalog_use(catalog, add, &addition);
}

struct hit {
    const char *key;
    const char *name;
};

static int count_hit(sqlite3 *db, void *arguments)
{
    const struct hit *hit = arguments;
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_db_run(db,
                           "UPDATE templates SET hits = hits + 1, last_used_ns = ?1,"
                           " saved_ns = saved_ns + build_time_ns WHERE key = ?2 AND verified",
                           "is", catalog_now_ns(), hit->key);
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
    int r = catalog_begin(db, false);
    if (r == 0)
        r = catalog_db_run(db, "UPDATE templates SET last_used_ns = ?1 WHERE key = ?2", "is",
                           catalog_now_ns(), (const char *)key);
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

/* What a listing found: copied out first, since a damaged catalog makes it start over, and so that
 * no lock is held while the caller visits. */
struct listing {
    struct catalog_row *rows;
    size_t count;
    size_t capacity;
};

static void listing_clear(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->rows[i].file);
        free(listing->rows[i].names);
        free(listing->rows[i].label);
        free(listing->rows[i].made_by);
    }
    listing->count = 0;
}

static void listing_fini(struct listing *listing)
{
    listing_clear(listing);
    free(listing->rows);
}

static int listing_add(struct listing *listing, const struct catalog_row *row)
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

static int list(sqlite3 *db, const char *sql, struct listing *listing,
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
    return ret_row->names && template_name_is_valid(ret_row->names);
}

static int list_names(sqlite3 *db, void *listing)
{
    return list(db, "SELECT key, name FROM names ORDER BY name", listing, read_name);
}

int catalog_each_name(struct catalog *catalog, catalog_name_visitor *visit, void *context)
{
    CLEANUP(listing_fini) struct listing listing = {.rows = NULL};
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
    CLEANUP(listing_fini) struct listing listing = {.rows = NULL};
    int r = catalog_use(catalog, list_templates, &listing);
    for (size_t i = 0; r == 0 && i < listing.count; i++)
        r = visit(&listing.rows[i], context);
    return r;
}

/* ---- against the store ---- */

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct catalog_row *)a)->key, ((const struct catalog_row *)b)->key);
}

struct reconciling {
    const struct store *store;
    const struct listing *known; /* by key */
    struct strlist fresh;        /* in the store, and not known */
};

static int find_fresh(const char *key, const char *same UNUSED, void *context)
{
    struct reconciling *work = context;
    struct catalog_row wanted = {.pinned = false};
    (void)snprintf(wanted.key, sizeof(wanted.key), "%s", key);
    if (work->known->count &&
        bsearch(&wanted, work->known->rows, work->known->count, sizeof(wanted), compare_rows))
        return 0;
    /* Published, and about to be entered by its builder. */
    char lock_name[BUILD_LOCK_NAME_SIZE];
    char holder[64];
    sweep_lock_name(key, lock_name);
    if (lock_holder(work->store->locks_fd, lock_name, holder, sizeof(holder)) == 1)
        return 0;
    return strlist_add(&work->fresh, key);
}

struct entering {
    const struct store *store;
    const struct strlist *keys;
    size_t entered;
};

static int enter_key(sqlite3 *db, struct entering *entering, const char *key)
{
    AUTO_FREE char *shown = NULL;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (asprintf(&shown, "%s/v1/templates/%s", entering->store->path, key) < 0) {
        shown = NULL;
        return -ENOMEM;
    }
    AUTO_FD int fd =
        io_openat(entering->store->templates_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    /* A damaged manifest is said; `verify` deals with it. */
    if (fd < 0 || manifest_read(fd, shown, &manifest) < 0 || strcmp(manifest->key, key) != 0)
        return 0;
    entering->entered++;
    return catalog_db_enter(db, manifest, false, pin_exists(entering->store, key));
}

static int enter_keys(sqlite3 *db, void *arguments)
{
    struct entering *entering = arguments;
    entering->entered = 0;
    int r = catalog_begin(db, false);
    for (size_t i = 0; r == 0 && i < entering->keys->count; i++) {
        /* Its builder may have entered it a moment ago, and as checked. */
        int known = is_verified(db, entering->keys->items[i]);
        r = known < 0 ? known : known ? 0 : enter_key(db, entering, entering->keys->items[i]);
    }
    return r == 0 ? catalog_commit(db) : r;
}

struct dropping {
    const struct store *store;
    const struct listing *known;
    size_t gone;
};

static int drop_gone(sqlite3 *db, void *arguments)
{
    struct dropping *dropping = arguments;
    dropping->gone = 0;
    int r = catalog_begin(db, false);
    for (size_t i = 0; r == 0 && i < dropping->known->count; i++) {
        const char *key = dropping->known->rows[i].key;
        if (template_exists(dropping->store, key))
            continue;
        dropping->gone++;
        r = catalog_db_run(db, "DELETE FROM templates WHERE key = ?1", "s", key);
        if (r == 0)
            r = catalog_db_run(db, "DELETE FROM names WHERE key = ?1", "s", key);
    }
    return r == 0 ? catalog_commit(db) : r;
}

int catalog_reconcile(struct catalog *catalog, size_t *ret_entered, size_t *ret_gone)
{
    CLEANUP(listing_fini) struct listing known = {.rows = NULL};
    struct reconciling work = {.store = catalog->store, .known = &known, .fresh = STRLIST_INIT};
    int r = catalog_use(catalog, list_keys, &known);
    if (r == 0)
        r = template_each_key(catalog->store, find_fresh, &work);
    struct entering entering = {.store = catalog->store, .keys = &work.fresh};
    if (r == 0 && work.fresh.count)
        r = catalog_use(catalog, enter_keys, &entering);
    strlist_fini(&work.fresh);
    struct dropping dropping = {.store = catalog->store, .known = &known};
    bool some_gone = false;
    for (size_t i = 0; r == 0 && !some_gone && i < known.count; i++)
        some_gone = !template_exists(catalog->store, known.rows[i].key);
    if (r == 0 && some_gone)
        r = catalog_use(catalog, drop_gone, &dropping);
    if (ret_entered)
        *ret_entered = entering.entered;
    if (ret_gone)
        *ret_gone = dropping.gone;
    return r;
}
