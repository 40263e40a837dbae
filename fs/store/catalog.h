/*
 * The catalog records what the templates' own files do not: which templates have been verified,
 * their names, their use, the time saved. It is an SQLite database, v1/catalog.db.
 *
 * It never decides what exists: templates/ does. A catalog that is missing or damaged is rebuilt
 * from the manifests (fs/store/catalog_connection.h); anything under its name that is not a regular
 * file is renamed first (fs/store/catalog_place.h). The catalog of a later mintfs is refused and
 * not changed: -EPROTONOSUPPORT. For one that another process has locked, every function waits,
 * with a message, and returns -EBUSY after a while.
 *
 * Errors are logged, except where a comment says otherwise. Safe from several threads and
 * processes.
 *
 * These functions record and look up single templates. Others read lists (catalog_list.h) and sums
 * (catalog_stats.h), pin (catalog_pin.h), evict (catalog_evict.h), tell the time (catalog_clock.h),
 * compare with the store (catalog_reconcile.h) and examine the file (catalog_inspect.h).
 */
#ifndef MINTFS_STORE_CATALOG_H
#define MINTFS_STORE_CATALOG_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/manifest.h"

struct catalog;

/* 1: the template's files matched its manifest when they had this fingerprint; 0: not known. */
MUST_CHECK int catalog_is_verified(struct catalog *catalog, const char *key, int64_t fingerprint);
/* The same for any fingerprint, so that no file has to be examined. */
MUST_CHECK int catalog_was_verified(struct catalog *catalog, const char *key);

/* Enters a template whose files matched its manifest when they had this fingerprint. */
MUST_CHECK int catalog_add(struct catalog *catalog, const struct manifest *manifest,
                           int64_t fingerprint);

/* The same for a template that this process has built: counts a miss, a build and a use, and gives
 * it the name, which may be NULL. */
MUST_CHECK int catalog_add_built(struct catalog *catalog, const struct manifest *manifest,
                                 int64_t fingerprint, const char *name);

/* Sets the columns that the manifest and the pin determine; the others keep their values. */
MUST_CHECK int catalog_refresh(struct catalog *catalog, const struct manifest *manifest);

/*
 * Counts a hit: the last use, the time saved, and the name, which may be NULL, given to the
 * template. 1, or 0 where the template has not been verified: then nothing is counted.
 */
MUST_CHECK int catalog_hit(struct catalog *catalog, const char *key, const char *name);

/* Records that the template is used now. */
MUST_CHECK int catalog_touch(struct catalog *catalog, const char *key);

/* Gives the name to the template, or with key NULL removes the name; -ENOENT, not logged: there was
 * none. */
MUST_CHECK int catalog_name(struct catalog *catalog, const char *name, const char *key);

/* Removes the template's row and its names. */
MUST_CHECK int catalog_forget(struct catalog *catalog, const char *key);

/* -ENOENT, not logged: there is no such name. */
MUST_CHECK int catalog_key_of_name(struct catalog *catalog, const char *name,
                                   char ret_key[SHA256_HEX_LENGTH + 1]);

#endif
