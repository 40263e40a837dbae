/*
 * Removes everything that mintfs made in a store and around it: the mount, the sessions of every
 * backend, scratches elsewhere, kept databases, the templates, and the store itself.
 */
#ifndef MINTFS_CLIENT_CLEAN_H
#define MINTFS_CLIENT_CLEAN_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* Opens the store if there is one: 1, else 0, which is logged. -EPERM (logged): the directory is
 * not a store. */
MUST_CHECK int clean_open(struct store **ret_store);

/*
 * Closes the store's catalog and removes everything. *ret_foreign counts what stays because mintfs
 * did not put it there; each is logged. Errors are logged: -EBUSY a template is being built, the
 * mount is in use, or another process uses the store or a scratch.
 */
MUST_CHECK int clean_all(struct store *store, size_t *ret_foreign);

#endif
