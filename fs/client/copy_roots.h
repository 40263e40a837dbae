/*
 * Where copies lie (copies.h): the two roots, and a session's place below one of them. For
 * copies.c, which makes copies, and copies_list.c, which lists and removes them.
 */
#ifndef MINTFS_CLIENT_COPY_ROOTS_H
#define MINTFS_CLIENT_COPY_ROOTS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* A directory that holds KEY/ID. */
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

/* The one in the store; errors are said, but -ENOENT where it is not to be made. */
MUST_CHECK int copy_root_open_disk(const struct store *store, bool make,
                                   struct copy_root *ret_root);
/* -EOPNOTSUPP where there is no such place: unsaid, since there is another. */
MUST_CHECK int copy_root_open_memory(const struct store *store, bool make,
                                     struct copy_root *ret_root);

/* Stops at the first non-zero answer and returns it. */
typedef int copy_root_visitor(const struct copy_root *root, void *context);
/* Opens each root that exists. */
MUST_CHECK int copy_root_each(const struct store *store, copy_root_visitor *visit, void *context);

/* Opens the roots in memory of all of this user's stores, also of stores that no longer exist, and
 * removes those that are empty after the visit. */
MUST_CHECK int copy_root_each_in_memory(copy_root_visitor *visit, void *context);

/* A store without copies leaves nothing in memory: only empty directories go. */
void copy_root_leave_memory(const struct store *store);

/* 1 and the descriptor of KEY, which the caller then owns, where ID lies below it; 0 where there is
 * none; or another -errno. */
MUST_CHECK int copy_root_find(const struct copy_root *root, const char *key, const char *id,
                              int *ret_key_fd);
/* The directory KEY that holds ID, in whichever root: its descriptor, -ENOENT, or another error. */
MUST_CHECK int copies_open_place(const struct store *store, const char *key, const char *id);

/* A copy that has no name yet lies beside those that have, under ".unfinished-" and 16 digits. */
#define UNFINISHED_PREFIX ".unfinished-"
enum { UNFINISHED_NAME_LENGTH = sizeof(UNFINISHED_PREFIX) - 1 + 16 };

/*
 * Holds the directory of a key: its holder may name or remove a copy, or change a lease.
 * Closing the descriptor releases it too. Taken before an owner's lock; never held while files are copied or
 * removed.
 */
MUST_CHECK int copies_lock_key(int key_fd);
void copies_unlock_key(int key_fd);

/* A name of a copy that has none yet, or none any more: what nobody holds an flock(2) on is swept. */
MUST_CHECK int copies_fill_unfinished(char name[UNFINISHED_NAME_LENGTH + 1]);

#endif
