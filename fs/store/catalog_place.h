/*
 * The names of the catalog's files in v1, before SQLite opens them: what is there and is not a
 * regular file (a directory that a container's bind mount has made, a named pipe), or is ours with a
 * mode that does not let us read it. One that can be read and not written is a read-only catalog.
 */
#ifndef MINTFS_STORE_CATALOG_PLACE_H
#define MINTFS_STORE_CATALOG_PLACE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

#define CATALOG_FILE "catalog.db"

/*
 * Renames what is not a regular file to NAME.aside (nothing is deleted: it may be the user's), and
 * gives files of ours that cannot be read the mode 0600. Each change is logged as a warning. 0 or a
 * negative errno, logged.
 */
MUST_CHECK int catalog_place_prepare(const struct store *store);

/*
 * Whether the above would change something; `ret_text`, the caller's, says what is wrong, with the
 * path. 1, 0 or -ENOMEM.
 */
MUST_CHECK int catalog_place_describe(const struct store *store, char **ret_text);

#endif
