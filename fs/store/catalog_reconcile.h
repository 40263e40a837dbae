/*
 * Brings the catalog in line with the templates in the store.
 */
#ifndef MINTFS_STORE_CATALOG_RECONCILE_H
#define MINTFS_STORE_CATALOG_RECONCILE_H

#include "fs/base/cleanup.h"

struct catalog;

/*
 * Removes the rows of templates that do not exist, and enters templates that have no row as not
 * verified. Errors are logged.
 */
MUST_CHECK int catalog_reconcile(struct catalog *catalog);

#endif
