/*
 * The catalog's database file: opened, checked, made, rebuilt. For catalog.c alone.
 */
#ifndef MINTFS_STORE_CATALOG_DB_H
#define MINTFS_STORE_CATALOG_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/store/catalog_place.h"
#include "fs/store/catalog_wait.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

/* Each further one takes somebody who deletes or damages the file anew meanwhile. */
enum { CATALOG_ATTEMPTS = 32 };

/* SQLite's answer as a negative errno; -EBADMSG: the file itself is beyond use. */
MUST_CHECK int catalog_db_error(int code);

/*
 * Opens v1/catalog.db, which is made, or rebuilt from the manifests, where it is missing, damaged
 * or not a catalog; on a full disk that is done in memory. What is not a file is put aside. Errors are
 * logged; -EPROTONOSUPPORT: of a later mintfs; -EBUSY: others kept it locked for longer than `wait`
 * lasts. `ret_status` is the file that was opened: another inode under the name means that it was
 * replaced.
 */
MUST_CHECK int catalog_db_open(const struct store *store, struct catalog_wait *wait,
                               sqlite3 **ret_db, struct stat *ret_status);

/* Reads each table: what is damaged may be any page. 0 or -errno, not logged. */
MUST_CHECK int catalog_db_check_tables(sqlite3 *db);

/* Replaces the catalog by one made from the manifests, unless another process has replaced or
 * changed the file `seen` since that was looked at. Said in one line, with `why`. */
MUST_CHECK int catalog_db_rebuild(const struct store *store, const struct stat *seen,
                                  const char *why);

/*
 * Writes the row of one manifest, with its pin, and its name unless a younger template has it. One
 * that is new here counts as used when it came to this store, which for a template that a CI cache
 * brought back is long after it was made. 0 or -errno, unsaid.
 */
MUST_CHECK int catalog_db_enter(sqlite3 *db, const struct store *store,
                                const struct manifest *manifest, int64_t fingerprint);

/* Prepares and binds in order: 's' const char * or NULL, 'i' int64_t. 0 or -errno, unsaid. */
MUST_CHECK int catalog_db_prepare(sqlite3 *db, sqlite3_stmt **ret_statement, const char *sql,
                                  const char *types, ...);
/* As catalog_db_prepare, and runs it to its end. */
MUST_CHECK int catalog_db_run(sqlite3 *db, const char *sql, const char *types, ...);

static inline void catalog_db_finalizep(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}
#define AUTO_STATEMENT CLEANUP(catalog_db_finalizep)

static inline void catalog_db_closep(sqlite3 **db)
{
    (void)sqlite3_close(*db);
}
#define AUTO_DB CLEANUP(catalog_db_closep)

#endif
