/*
 * Paths that SQLite can open in directories of any depth.
 *
 * SQLite accepts no path over 512 bytes, and resolves symbolic links first, so that a path through
 * /proc/self/fd would become as long as the original. The VFS here does not resolve paths.
 */
#ifndef MINTFS_STORE_SQLITE_PATH_H
#define MINTFS_STORE_SQLITE_PATH_H

#include "fs/base/cleanup.h"

struct sqlite_path {
    int fd; /* a directory in the path, or -1; must stay open as long as the database */
    char *text;
};

#define SQLITE_PATH_INIT ((struct sqlite_path){.fd = -1})
#define AUTO_SQLITE_PATH CLEANUP(sqlite_path_fini)
void sqlite_path_fini(struct sqlite_path *path);

/*
 * The path of the file `below`, relative to dirfd, whose own path is dir_path; if it is too long,
 * one through /proc/self/fd, which only sqlite_path_vfs() can open. dirfd must stay open as long as
 * the database. -ENAMETOOLONG, not logged: it is too long, and /proc is not mounted.
 */
MUST_CHECK int sqlite_path_find(int dirfd, const char *dir_path, const char *below,
                                struct sqlite_path *ret_path);

/* The name of the VFS that opens such paths and is otherwise SQLite's default. NULL: no memory;
 * SQLite then uses its default. */
const char *sqlite_path_vfs(void);

#endif
