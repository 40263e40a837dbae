/*
 * What the catalog's two files share; for catalog.c and catalog_care.c alone.
 */
#ifndef MINTFS_STORE_CATALOG_PARTS_H
#define MINTFS_STORE_CATALOG_PARTS_H

#include <sqlite3.h>
#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/catalog.h"

typedef int catalog_operation(sqlite3 *db, void *arguments);

/*
 * Runs an operation, which answers a negative errno unsaid, and says that. A damaged catalog is
 * rebuilt and the operation run again. -ENOENT is an ordinary answer.
 */
MUST_CHECK int catalog_use(struct catalog *catalog, catalog_operation *operate, void *arguments);

/* Begins to write; `durable`: a crash of the machine must not take it back. */
MUST_CHECK int catalog_begin(sqlite3 *db, bool durable);
MUST_CHECK int catalog_commit(sqlite3 *db);

#endif
