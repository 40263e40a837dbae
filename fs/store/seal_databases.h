/*
 * The second pass of sealing: the databases among what the builder left. For seal.c alone.
 */
#ifndef MINTFS_STORE_SEAL_DATABASES_H
#define MINTFS_STORE_SEAL_DATABASES_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/manifest.h"

/* Of the names that sealing gives files of its own in the tree (dir_name_beside()). */
#define SEAL_MARK "mintfs-seal-"

/* What the first pass found. */
struct seal_found {
    int files_fd;
    const char *path; /* absolute */
    const char *file; /* the database that people mean: what --file says, or its default */
    struct manifest_entry *entries; /* sorted by path */
    size_t count;
    struct strlist *warnings;
};

/*
 * Seals each SQLite database, notes in its entry that it is one, and removes its side files, whose
 * entries the caller drops. A damaged database is published as it is, side files included, with a
 * warning, where it is not the one that people mean: `file`, else the only one. What SQLite does
 * not know is published as it is as well. PostgreSQL's data directories must be shut down
 * (seal_postgres.h). Errors are logged as seal_tree() says.
 */
MUST_CHECK int seal_databases(const struct seal_found *found);

#endif
