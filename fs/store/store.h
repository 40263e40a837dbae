/*
 * The store: one user's cache directory of templates, their catalog, and locks.
 *
 *     STORE/CACHEDIR.TAG        https://bford.info/cachedir/
 *     STORE/mintfs-store        the marker: nothing is deleted below a directory without it
 *     STORE/v1/catalog.db       fs/store/catalog.h
 *     STORE/v1/templates/KEY/   fs/store/template.h
 *     STORE/v1/building/        unpublished work, swept when its builder has ended
 *     STORE/v1/pins/            fs/store/pin.h
 *     STORE/v1/locks/           fs/base/lock.h
 *     STORE/v1/sessions/        scratch (fs/overlay/), unless a mount names another place
 *
 * STORE is $MINTFS_STORE, else $XDG_CACHE_HOME/mintfs, else ~/.cache/mintfs. It belongs to one
 * user, has mode 0700, and is on a local file system. This header is the handle of an open store;
 * fs/store/store_open.h opens and closes it.
 */
#ifndef MINTFS_STORE_STORE_H
#define MINTFS_STORE_STORE_H

#include <stdbool.h>

struct catalog;

/* The descriptors are directories, through which everything in the store is reached. */
struct store {
    char *path; /* absolute, without symbolic links; for messages and for builders' arguments */
    int fd;     /* its directory, locked (fs/store/in_use.h) */
    int v1_fd;
    int templates_fd;
    int building_fd;
    int locks_fd;
    int sessions_fd;
    struct catalog *catalog; /* its database is opened at the first use */
};

/* Whether the file system at the path has no inode left for another file. */
bool store_lacks_inodes(const char *path);

/*
 * Logs the error that the file system returned for NAME in the store (NULL: for the store itself),
 * with a way out, and returns -|error|.
 */
int store_log_error(const char *store_path, int error, const char *name);

#endif
