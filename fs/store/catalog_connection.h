/*
 * The connection to the catalog's database (fs/store/catalog.h).
 *
 * It is opened at the first use, and not inherited over fork(). A catalog that is missing,
 * truncated or damaged is rebuilt from the manifests, with a message. On a full disk, where SQLite
 * cannot write its journal, the journal is kept in memory, since eviction would otherwise be
 * impossible; a process that is killed then may leave a damaged catalog.
 *
 * Safe from several threads and processes at once; another process may rebuild the catalog at any
 * moment.
 */
#ifndef MINTFS_STORE_CATALOG_CONNECTION_H
#define MINTFS_STORE_CATALOG_CONNECTION_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

struct sqlite3;

/* Opens nothing yet. `store` must outlive the catalog. -ENOMEM is logged. */
MUST_CHECK int catalog_new(const struct store *store, struct catalog **ret_catalog);
void catalog_free(struct catalog *catalog);

/*
 * Closes the database until its next use: some file systems keep a file that is removed while it is
 * open, so that its directory cannot be removed.
 */
void catalog_close(struct catalog *catalog);

const struct store *catalog_store(const struct catalog *catalog);

/*
 * Runs an operation on the database. The operation returns 0 or more, or a negative errno that it
 * does not log; catalog_use() logs and returns it. If the catalog turns out to be damaged or
 * replaced, the operation runs again on the new one. -ENOENT is an ordinary result, not logged.
 */
typedef int catalog_operation(struct sqlite3 *db, void *arguments);
MUST_CHECK int catalog_use(struct catalog *catalog, catalog_operation *operate, void *arguments);

#endif
