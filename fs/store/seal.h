/*
 * Sealing: turns the files that a builder left into those of a template.
 *
 * Every SQLite database is recovered, checkpointed, switched to rollback mode and checked, and its
 * side files are removed. Every file gets mode 0444 and a digest, every directory 0755, and all are
 * synced. Files that have a second name, or another owner, are replaced by copies first, so that
 * nothing outside the tree changes.
 */
#ifndef MINTFS_STORE_SEAL_H
#define MINTFS_STORE_SEAL_H

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * Seals the tree below files_fd, whose absolute path is `path`, and sets the manifest's entries and
 * warnings. `file`, relative to the tree, is the main database (--file, or its default), which must
 * be sound. Errors are logged with the path below the tree: -EINVAL: something that a template
 * cannot hold; -ENODATA: no files; -EBADMSG: a broken database; -EBUSY: a process still writes to a
 * file; -EINTR: a signal came (fs/base/interrupt.h).
 */
MUST_CHECK int seal_tree(int files_fd, const char *path, const char *file,
                         struct manifest *manifest);

#endif
