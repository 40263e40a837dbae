/*
 * What the catalog's files share; for catalog.c, catalog_list.c, catalog_reconcile.c,
 * catalog_evict.c and catalog_clock.c alone.
 */
#ifndef MINTFS_STORE_CATALOG_INTERNAL_H
#define MINTFS_STORE_CATALOG_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/catalog.h"
#include "fs/store/fingerprint.h"

typedef int catalog_operation(sqlite3 *db, void *arguments);

/*
 * Runs an operation, which answers a negative errno unsaid, and says that. A damaged catalog is
 * rebuilt and the operation run again. -ENOENT is an ordinary answer.
 */
MUST_CHECK int catalog_use(struct catalog *catalog, catalog_operation *operate, void *arguments);

/* Begins to write; `durable`: a crash of the machine must not take it back. */
MUST_CHECK int catalog_begin(sqlite3 *db, bool durable);
MUST_CHECK int catalog_commit(sqlite3 *db);

/* The store that it is of. */
const struct store *catalog_store(const struct catalog *catalog);

/*
 * Within an operation that has begun to write: takes a reading of the clock, and records it. What a
 * wrong clock had entered as used in the future is then used now.
 */
MUST_CHECK int catalog_clock_tick(sqlite3 *db, struct age_reading *ret_reading);

/* The fingerprint that the template was verified at; FINGERPRINT_NONE: it was not, or is not known. */
MUST_CHECK int catalog_row_fingerprint(sqlite3 *db, const char *key, int64_t *ret_fingerprint);

/* What a listing found: copied out first, since a damaged catalog makes it start over, and so that
 * no lock is held while the caller visits. Owns its rows' strings. */
struct key_listing {
    struct catalog_row *rows;
    size_t count;
    size_t capacity;
};
void key_listing_fini(struct key_listing *listing);

/* The keys alone, in order. */
MUST_CHECK int catalog_list_keys(struct catalog *catalog, struct key_listing *listing);

#endif
