/*
 * The catalog's database file: opened, checked, made, rebuilt. For catalog.c alone.
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

/* Each further one takes somebody who deletes or damages the file anew meanwhile. */
enum { CATALOG_ATTEMPTS = 32 };

/*
 * Opens v1/catalog.db, which is made, or rebuilt from the manifests, where it is missing, damaged
 * or not a catalog; on a full disk that is done in memory. What is not a file is put aside. Errors are
 * logged; -EPROTONOSUPPORT: of a later mintfs; -EBUSY: others kept it locked for longer than `wait`
 * lasts. `ret_status` is the file that was opened: another inode under the name means that it was
 * replaced.
 */
MUST_CHECK int catalog_db_open(const struct store *store, struct catalog_wait *wait,
                               sqlite3 **ret_db, struct stat *ret_status);

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

/* The fingerprint at which the template was verified; FINGERPRINT_NONE: never, or no such row. */
MUST_CHECK int catalog_row_fingerprint(sqlite3 *db, const char *key, int64_t *ret_fingerprint);

#endif
