/*
 * Sessions without a mount: plain copies of a template's files, for containers without /dev/fuse.
 *
 * A copy is the directory KEY/ID below one of two roots (copy_roots.h): v1/copies of the store if
 * its file system can share blocks with the template (a reflink costs next to nothing), else a
 * directory in /dev/shm if that has room, else v1/copies. A copy appears complete, by one rename.
 * It is listed and removed by copies_list.h.
 */
#ifndef MINTFS_CLIENT_COPIES_H
#define MINTFS_CLIENT_COPIES_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/client/copy_lease.h"
#include "fs/store/store.h"

/*
 * Copies the template KEY (64 digits) into a new session directory, mode 0700, and returns its
 * absolute path, owned by the caller. The copy has its lease (NULL: none) from the first moment.
 * *ret_first: no copy was ever made in this store before, so the user should be told about copies.
 * Errors are logged: -EEXIST if the ID is taken, -EINVAL if it is not valid, -ENOENT if there is no
 * such template.
 */
MUST_CHECK int copies_new(const struct store *store, const char *key, const char *id,
                          const struct copy_lease *lease, char **ret_path, bool *ret_first);

/*
 * Replaces the files of a copy by the template's in one step; its path stays the same, and open
 * files keep their old content. Errors are logged, except -ENOENT: there is no such copy.
 */
MUST_CHECK int copies_reset(const struct store *store, const char *key, const char *id);

/* 1 if there is such a copy, 0 if not, or a negative errno. */
MUST_CHECK int copies_have(const struct store *store, const char *key, const char *id);

#endif
