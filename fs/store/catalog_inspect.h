/*
 * The state of the catalog, for `mintfs doctor`.
 */
#ifndef MINTFS_STORE_CATALOG_INSPECT_H
#define MINTFS_STORE_CATALOG_INSPECT_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

enum catalog_state {
    CATALOG_GOOD,
    CATALOG_ABSENT,     /* the next use creates it */
    CATALOG_REPAIRABLE, /* the next use repairs or rebuilds it */
    CATALOG_UNUSABLE,   /* every use fails */
};

/*
 * Examines the catalog and repairs nothing. For CATALOG_REPAIRABLE and CATALOG_UNUSABLE *ret_text
 * describes what is wrong, for the latter with the way out; the caller frees it. NULL: no memory.
 * Not to be called while this process has the catalog open, since that would release its locks.
 */
enum catalog_state catalog_inspect(const struct store *store, char **ret_text);

/* Reads the whole catalog, so that it is repaired now if necessary. Errors are logged. */
MUST_CHECK int catalog_repair(struct catalog *catalog);

/* The version of the SQLite library that is loaded. */
const char *catalog_library_version(void);

#endif
