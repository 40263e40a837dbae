/*
 * Where plain copies (copies.h) are stored: two root directories, each of which contains KEY/ID.
 */
#ifndef MINTFS_CLIENT_COPY_ROOTS_H
#define MINTFS_CLIENT_COPY_ROOTS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

struct copy_root {
    int fd;
    char *path; /* absolute; owned */
};
#define ROOT_INIT                                                                                  \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

void copy_root_fini(struct copy_root *root);
#define AUTO_ROOT CLEANUP(copy_root_fini)

/* Whether a root that does not exist is created. */
enum copy_root_missing { COPY_ROOT_FAIL, COPY_ROOT_CREATE };

/* The root in the store, v1/copies. Errors are logged, except -ENOENT with COPY_ROOT_FAIL. */
MUST_CHECK int copy_root_open_disk(const struct store *store, enum copy_root_missing missing,
                                   struct copy_root *ret_root);
/*
 * The root in memory, /dev/shm/mintfs-copies-UID/STORE. -EOPNOTSUPP if there is none; this is not
 * logged, since the root in the store can be used instead.
 */
MUST_CHECK int copy_root_open_memory(const struct store *store, enum copy_root_missing missing,
                                     struct copy_root *ret_root);
/*
 * Whether a copy was ever made in this store: v1/copies is created with the first, on either root.
 */
bool copy_root_was_made(const struct store *store);

/* A visitor that returns non-zero ends the visit, which then returns that value. */
typedef int copy_root_visitor(const struct copy_root *root, void *context);
/* Visits each root of the store that exists. */
MUST_CHECK int copy_root_each(const struct store *store, copy_root_visitor *visit, void *context);
/*
 * Visits the roots in memory of all of this user's stores, even of stores that no longer exist, and
 * removes each root that is empty after its visit.
 */
MUST_CHECK int copy_root_each_in_memory(copy_root_visitor *visit, void *context);
/* Removes the store's root in memory if it is empty. */
void copy_root_leave_memory(const struct store *store);

/*
 * 1 and the descriptor of the directory KEY, owned by the caller, if it contains ID; 0 if it does
 * not; or a negative errno.
 */
MUST_CHECK int copy_root_find(const struct copy_root *root, const char *key, const char *id,
                              int *ret_key_fd);

/* ---- the directory of a key ---- */

/*
 * Locks the directory KEY by flock(2). Its holder may name or remove a copy, or change a lease. The
 * lock is taken before an owner's lock (copy_lease.h) and never held while files are copied or
 * removed. Closing the descriptor releases it too.
 */
MUST_CHECK int copy_key_lock(int key_fd);
void copy_key_unlock(int key_fd);

/*
 * A copy that has no ID yet, or none any more, is called ".unfinished-" and 16 digits. The process
 * that works on it holds an flock(2) on it; if nobody does, any sweep removes it.
 */
#define UNFINISHED_PREFIX ".unfinished-"
enum { UNFINISHED_NAME_LENGTH = sizeof(UNFINISHED_PREFIX) - 1 + 16 };
/* Chooses such a name at random. */
MUST_CHECK int copy_unfinished_name(char ret_name[UNFINISHED_NAME_LENGTH + 1]);

#endif
