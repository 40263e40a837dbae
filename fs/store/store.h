/*
 * The store: one user's cache directory of templates, their catalog and locks.
 *
 *     STORE/CACHEDIR.TAG        https://bford.info/cachedir/
 *     STORE/mintfs-store        the marker: nothing is deleted below a directory without it
 *     STORE/v1/catalog.db       fs/store/catalog.h
 *     STORE/v1/templates/KEY/   fs/store/template.h
 *     STORE/v1/building/        unpublished work, swept when its builder is gone
 *     STORE/v1/locks/           fs/base/lock.h
 *     STORE/v1/sessions/        scratch (fs/overlay/), unless a mount names another place
 *
 * STORE is $MINTFS_STORE, else $XDG_CACHE_HOME/mintfs, else ~/.cache/mintfs. It is one user's,
 * mode 0700, on a local file system. All descriptors below are directories, open for the life of
 * the object; whatever lies in the store is reached through them.
 */
#ifndef MINTFS_STORE_STORE_H
#define MINTFS_STORE_STORE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

struct catalog;

struct store {
    char *path; /* absolute, without symbolic links; for messages and for builders' arguments */
    int fd;     /* its directory, locked (fs/store/in_use.h) */
    int v1_fd;
    int templates_fd;
    int building_fd;
    int locks_fd;
    int sessions_fd;
    struct catalog *catalog; /* opened with its first use (fs/store/catalog.h) */
};

/*
 * The absolute path that the environment asks for, whether or not it exists; a relative
 * $MINTFS_STORE is taken from the current directory. -ENOENT (said) where nothing names a place.
 */
MUST_CHECK int store_path(char **ret_path);

/*
 * Opens the store, which is made if it is missing. A store that belongs to another user, that
 * others can write, that holds foreign files and no marker, or that lies on a read-only or full
 * disk is an error whose message names the path and what mends it.
 */
MUST_CHECK int store_open(struct store **ret_store);

/* The same for whoever only looks: 1, or 0 where there is no store yet, which is said and not made. */
MUST_CHECK int store_open_existing(struct store **ret_store);

/* Whether there is a store at the path, or something in its way; an empty directory is neither. */
bool store_is_there(const char *path);

/* Whether the directory has a store's marker, or holds nothing but what is left of a store. */
bool store_is_marked(int fd);

/* Whether the file system there has room for no further file, however small. */
bool store_lacks_inodes(const char *path);

/*
 * Says what the disk refused at NAME of the store (NULL: at the store itself), with the way out,
 * and returns -|error|.
 */
int store_log_error(const char *store_path, int error, const char *name);

void store_close(struct store *store);
void store_closep(struct store **store);
#define AUTO_STORE CLEANUP(store_closep)

#endif
