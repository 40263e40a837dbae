/*
 * The first pass of sealing (fs/store/seal.h): the tree that the builder left, and what seal.c,
 * seal_scan.c and seal_databases.c share.
 */
#ifndef MINTFS_STORE_SEAL_SCAN_H
#define MINTFS_STORE_SEAL_SCAN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/base/vector.h"
#include "fs/store/manifest.h"

/* Begins the names of files that sealing creates in the tree (dir_name_beside()). */
#define SEAL_MARK "mintfs-seal-"

struct seal {
    int files_fd;
    const char *path;                      /* of the tree, absolute */
    const char *file;                      /* the main database, below the tree; see seal_tree() */
    VECTOR(struct manifest_entry) entries; /* sorted by path */
    struct strlist warnings;
    int wait_ms; /* how long to wait for processes that write, for all files together */
};

/*
 * Fills the entries. Files with a second name or another owner are replaced by copies, absolute
 * links into the tree by relative ones. Waits until no process has a file open for writing, and
 * then scans again. Errors are logged as by seal_tree().
 */
MUST_CHECK int seal_scan(struct seal *seal);

/* Removes the entries. */
void seal_clear(struct seal *seal);

/* Orders manifest entries by path. */
int seal_compare_entries(const void *a, const void *b);

/* A path below the tree; "" is the tree. The caller frees it; NULL: no memory. */
char *seal_path_in(const char *directory, const char *name);

/* Opens a file of the tree for reading. */
MUST_CHECK int seal_open_entry(const struct seal *seal, const char *path);

/*
 * Whether a process has the file open for writing: then no read lease is granted. False on file
 * systems without leases.
 */
bool seal_has_writer(int fd);

/* Logs that the builder left something that a template cannot hold, and returns -|error|. */
int seal_log_left(int error, const char *path, const char *what);

#endif
