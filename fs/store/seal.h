/*
 * Sealing: what a builder left becomes the files of a template.
 *
 * Every SQLite database is recovered, checkpointed, put in rollback mode, rid of its side files and
 * checked; every file gets mode 0444 and a digest, every directory 0755, and all is synced. Files
 * that have another name elsewhere, or another owner, are replaced by copies first, so that nothing
 * outside the tree is touched.
 */
#ifndef MINTFS_STORE_SEAL_H
#define MINTFS_STORE_SEAL_H

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * Seals the tree below files_fd, whose absolute path is `path`, and fills entries and warnings of
 * the manifest. `file` is the database that people mean, relative to the tree (--file, or its
 * default): that one must be sound. Errors are logged, with the path below the tree: -EINVAL something that a template
 * cannot hold, -ENODATA nothing was left, -EBADMSG a broken database, -EBUSY a file that a process
 * still writes, -EINTR a signal came (fs/base/interrupt.h).
 */
MUST_CHECK int seal_tree(int files_fd, const char *path, const char *file,
                         struct manifest *manifest);

#endif
