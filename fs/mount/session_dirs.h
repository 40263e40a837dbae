/*
 * Sessions as directories below sessions/KEY: what mkdir, rmdir and rename do there.
 */
#ifndef MINTFS_MOUNT_SESSION_DIRS_H
#define MINTFS_MOUNT_SESSION_DIRS_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"
#include "fs/mount/tree.h"

/*
 * Creates the session ID of the template `parent`, an INODE_SESSIONS_OF, and returns its directory
 * with a reference for the caller. If the ID ends in ".pid-N", process N becomes the owner.
 * -ESHUTDOWN while the daemon stops; the errors of verifier_require(), lease_set_owner() and
 * scratch_session_new().
 */
MUST_CHECK int session_dir_make(fuse_req_t req, const struct inode *parent, const char *id,
                                mode_t mode, struct node **ret_node);
/* Discards the session even if it is not empty. -ENOENT. */
MUST_CHECK int session_dir_discard(struct server *server, const struct inode *parent,
                                   const char *id);
/*
 * Gives a session another ID. If another session has that ID, it is replaced, which is a reset;
 * with RENAME_NOREPLACE that fails. -EXDEV between two templates, and -EINVAL for other flags.
 */
MUST_CHECK int session_dir_rename(struct server *server, const struct inode *from, const char *id,
                                  const struct inode *to, const char *new_id, unsigned flags);

#endif
