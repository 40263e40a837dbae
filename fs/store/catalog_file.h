/*
 * The file v1/catalog.db: opening it, checking what it is, and describing what is wrong with it.
 */
#ifndef MINTFS_STORE_CATALOG_FILE_H
#define MINTFS_STORE_CATALOG_FILE_H

#include <sqlite3.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/store/catalog_wait.h"
#include "fs/store/store.h"

/* Opens a file in v1 as a database, hardened. 0 or -errno, not logged. */
MUST_CHECK int catalog_file_open(const struct store *store, const char *name, int flags,
                                 sqlite3 **ret_db);

/* Since a catalog is input like any other, code that its schema might contain is not run. */
MUST_CHECK int catalog_file_harden(sqlite3 *db);

/*
 * Opens catalog.db if it is a catalog. Errors are not logged: -ENOENT: no file; -EBADMSG: not a
 * catalog; -EPROTONOSUPPORT: of a later version, which is *ret_version. *ret_status, which is set
 * in any case, is the file that was opened, or zero. `wait`, which may be NULL, waits for locks.
 */
MUST_CHECK int catalog_file_open_existing(const struct store *store, struct catalog_wait *wait,
                                          sqlite3 **ret_db, struct stat *ret_status,
                                          int64_t *ret_version);

/* Why the catalog cannot be used, and the way out. The caller frees it; NULL: no memory. */
char *catalog_file_describe_failure(const struct store *store, int error, int64_t version);
/* Logs it, and returns the error. */
int catalog_file_log_failure(const struct store *store, int error, int64_t version);

/* Reads each table, since any page may be damaged. 0 or -errno, not logged. */
MUST_CHECK int catalog_file_check_tables(sqlite3 *db);

#endif
