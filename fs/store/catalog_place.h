/*
 * Obstacles to opening the catalog: something other than a regular file under the name of one of
 * its files (a directory that a container's bind mount created, a named pipe), or a file of ours
 * that its mode does not let us read. A file that can be read and not written is a read-only
 * catalog.
 */
#ifndef MINTFS_STORE_CATALOG_PLACE_H
#define MINTFS_STORE_CATALOG_PLACE_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

#define CATALOG_FILE "catalog.db"

/*
 * Renames anything that is not a regular file to NAME.aside (nothing is deleted: it may be the
 * user's), and gives files of ours that cannot be read the mode 0600. Each change is logged as a
 * warning. Errors are logged.
 */
MUST_CHECK int catalog_place_prepare(const struct store *store);

/*
 * 1: catalog_place_prepare() would change something, and *ret_text, which the caller frees,
 * describes what is wrong, with the path; 0: it would not; -ENOMEM.
 */
MUST_CHECK int catalog_place_describe(const struct store *store, char **ret_text);

#endif
