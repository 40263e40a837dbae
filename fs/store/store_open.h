/*
 * Finds, creates, opens and closes the store (fs/store/store.h).
 */
#ifndef MINTFS_STORE_STORE_OPEN_H
#define MINTFS_STORE_STORE_OPEN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/*
 * The absolute path of the store according to the environment, whether or not it exists; a relative
 * $MINTFS_STORE is resolved against the current directory. The caller frees it. Errors are logged;
 * -ENOENT: neither a variable nor a home directory gives a path.
 */
MUST_CHECK int store_path(char **ret_path);

/*
 * Opens the store, and creates it if it does not exist. Errors are logged with the path and a way
 * out: a store that another user owns or can write, a directory that holds other files and no
 * marker, a file system that is read-only, full, or on the network.
 */
MUST_CHECK int store_open(struct store **ret_store);

/* The same for read-only commands: 1, or 0 with a message where there is no store; none is
 * created. */
MUST_CHECK int store_open_existing(struct store **ret_store);

/* Whether the path is a directory that is not empty, or anything else that store_open() would
 * refuse. */
bool store_is_there(const char *path);

/* Whether the directory is empty, but for what mkfs creates in it, or has been removed. */
bool store_is_empty(int fd);

/* Whether the directory has a store's marker, or holds nothing but the remains of a store. */
bool store_is_marked(int fd);

void store_close(struct store *store);
void store_closep(struct store **store);
#define AUTO_STORE CLEANUP(store_closep)

#endif
