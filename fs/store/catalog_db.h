/*
 * Opens the catalog's database, creates it, and rebuilds it from the manifests. For the catalog_*.c
 * files alone.
 */
#ifndef MINTFS_STORE_CATALOG_DB_H
#define MINTFS_STORE_CATALOG_DB_H

#include <sqlite3.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/store/catalog_wait.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

/* Each attempt fails only if the file is deleted or damaged again in the meantime. */
enum { CATALOG_ATTEMPTS = 32 };

/*
 * Opens v1/catalog.db; if it is missing, damaged or not a catalog, it is rebuilt first, on a full
 * disk in memory. Anything that is not a regular file is renamed. Errors are logged;
 * -EPROTONOSUPPORT: of a later mintfs; -EBUSY: locked for longer than `wait` lasts. *ret_status is
 * the file that was opened: if another inode has the name later, it was replaced.
 */
MUST_CHECK int catalog_db_open(const struct store *store, struct catalog_wait *wait,
                               sqlite3 **ret_db, struct stat *ret_status);

/* Replaces the catalog by one made from the manifests, unless another process has replaced or
 * changed the file since `seen` was read. Logs that with the reason `why`. Errors are logged. */
MUST_CHECK int catalog_db_rebuild(const struct store *store, const struct stat *seen,
                                  const char *why);

/*
 * Writes the row of a manifest, with its pin, and gives it its name unless a younger template has
 * it. The last use in a new row is the time when the template came to this store, which may be long
 * after it was built, as for one restored by a CI cache. 0 or -errno, not logged.
 */
MUST_CHECK int catalog_db_enter(sqlite3 *db, const struct store *store,
                                const struct manifest *manifest, int64_t fingerprint);

/* The fingerprint at which the template was verified; FINGERPRINT_NONE: never, or no such row. */
MUST_CHECK int catalog_row_fingerprint(sqlite3 *db, const char *key, int64_t *ret_fingerprint);

#endif
