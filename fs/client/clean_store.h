/*
 * Takes a store, or a scratch, apart: by the names that mintfs gives, so that what somebody else
 * put there stays, wherever it lies, and is named.
 */
#ifndef MINTFS_CLIENT_CLEAN_STORE_H
#define MINTFS_CLIENT_CLEAN_STORE_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/*
 * Removes the store that is open, and then its directory, with the marker last, so that a second
 * clean can go on. *foreign grows by what stays, each of which is said. Errors are said.
 * Where it fails, or is killed, each template is whole or gone, and the scratch can be mounted.
 */
MUST_CHECK int clean_store(const struct store *store, size_t *foreign);

/* The same for a scratch elsewhere, whose directory's descriptor `fd` is. */
MUST_CHECK int clean_scratch(int fd, const char *path, size_t *foreign);

#endif
