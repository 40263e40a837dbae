/*
 * Removing a store, or a scratch. Only entries with names that mintfs gives are removed; others are
 * foreign: they stay, and each is logged.
 */
#ifndef MINTFS_CLIENT_CLEAN_STORE_H
#define MINTFS_CLIENT_CLEAN_STORE_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/*
 * Removes the content of an open store, and then its directory. The marker is removed last, so that
 * a second clean can continue after a failure. Adds the number of foreign entries to *foreign.
 * Errors are logged. If it fails or is killed, each template is complete or gone, and the scratch
 * can still be mounted.
 */
MUST_CHECK int clean_store(const struct store *store, size_t *foreign);

/* The same for a scratch outside the store; `fd` is the descriptor of its directory. */
MUST_CHECK int clean_scratch(int fd, const char *path, size_t *foreign);

#endif
