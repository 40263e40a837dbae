/*
 * Sessions without a mount: plain copies of a template's files, for containers without /dev/fuse.
 *
 * They lie below one of two roots, as KEY/ID: v1/copies/ of the store where its file system shares
 * blocks (a reflink costs next to nothing), else /dev/shm/mintfs-copies-UID/STORE where there is
 * room, else v1/copies/ all the same. A copy appears whole, by one rename.
 */
#ifndef MINTFS_CLIENT_COPIES_H
#define MINTFS_CLIENT_COPIES_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/client/copy_lease.h"
#include "fs/store/store.h"

/*
 * Copies the template KEY (64 digits) into a new session directory, mode 0700, whose absolute path
 * the caller then owns. It has its lease (copy_lease.h; NULL: none) from the first moment.
 * *ret_first tells that no copy was there before: worth a word to the user.
 * Errors are said: -EEXIST an ID that is taken, -EINVAL a bad one, -ENOENT no such template.
 */
MUST_CHECK int copies_new(const struct store *store, const char *key, const char *id,
                          const struct copy_lease *lease, char **ret_path, bool *ret_first);

/* The same path with new files, in one step; what is open keeps the old ones. -ENOENT, unsaid. */
MUST_CHECK int copies_reset(const struct store *store, const char *key, const char *id);

/* The file that an owner is to lock, of a lease that names a lock; `path` is the copy's. The caller
 * owns the text. -ENOMEM. */
MUST_CHECK int copies_owner_lock_path(const char *path, const char *owner_lock, char **ret_path);

struct copy {
    char key[65];
    const char *id;
    const char *path;
};
/* Stops at the first non-zero answer and returns it. */
typedef int copies_visitor(const struct copy *copy, void *context);
MUST_CHECK int copies_each(const struct store *store, copies_visitor *visit, void *context);

/* Removes the copies that are over, and unfinished ones; what cannot be removed is logged. The
 * second visits those that stay. */
MUST_CHECK int copies_sweep(const struct store *store);
MUST_CHECK int copies_sweep_each(const struct store *store, copies_visitor *visit, void *context);

/* The same for the copies in memory of all of this user's stores: a store that was removed as files
 * (rm -r, git clean) leaves its copies there, and no command on it will remove them. */
MUST_CHECK int copies_sweep_memory(void);

/* 1 where there is one, else 0. */
MUST_CHECK int copies_have(const struct store *store, const char *key, const char *id);

/* Whether there ever was one: what is to be said once was said then. */
bool copies_were_made(const struct store *store);

/* Removes it whole, and its template's directory when that is empty then. -ENOENT, unsaid. */
MUST_CHECK int copies_remove(const struct store *store, const char *key, const char *id);

#endif
