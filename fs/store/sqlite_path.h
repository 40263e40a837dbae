/*
 * Paths that SQLite can open, however deep the directory is.
 *
 * SQLite takes no path over 512 bytes, and resolves the links in a shorter one, so that a way round
 * through /proc gets as long as the path itself. The VFS here takes each path as it is.
 */
#ifndef MINTFS_STORE_SQLITE_PATH_H
#define MINTFS_STORE_SQLITE_PATH_H

#include "fs/base/cleanup.h"

struct sqlite_path {
    int fd; /* a directory that the path leads through, or -1; open as long as the database is */
    char *text;
};

#define SQLITE_PATH_INIT ((struct sqlite_path){.fd = -1})
#define AUTO_SQLITE_PATH CLEANUP(sqlite_path_fini)
void sqlite_path_fini(struct sqlite_path *path);

/*
 * The path of the file `below`, relative to dirfd, whose own path is dir_path; where that is too
 * long, one through /proc/self/fd, for sqlite_path_vfs() alone. dirfd stays open as long as the
 * database, too. -ENAMETOOLONG: it is too long, and /proc is not mounted; not logged.
 */
MUST_CHECK int sqlite_path_find(int dirfd, const char *dir_path, const char *below,
                                struct sqlite_path *ret_path);

/* The name of the VFS that opens such paths; otherwise it is SQLite's default, which also is what
 * NULL, the answer without memory, means to SQLite. */
const char *sqlite_path_vfs(void);

#endif
