/*
 * The second pass of sealing: the databases in the tree.
 */
#ifndef MINTFS_STORE_SEAL_DATABASES_H
#define MINTFS_STORE_SEAL_DATABASES_H

#include "fs/base/cleanup.h"
#include "fs/store/seal_scan.h"

/*
 * Seals each SQLite database, marks its entry, and removes its side files, whose entries the caller
 * removes. A damaged database is published as it is, with its side files and a warning, unless it
 * is the main database: `file`, or the only one. Databases of formats that SQLite does not know are
 * published as they are, too. The servers of PostgreSQL's data directories must have been shut down
 * (seal_postgres.h). Errors are logged as by seal_tree().
 */
MUST_CHECK int seal_databases(struct seal *seal);

#endif
