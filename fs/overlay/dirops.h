/*
 * Looks up, lists and changes the names in a session's directories. Errors are those of the system
 * calls (-ENOTEMPTY, -ENAMETOOLONG, ...). The mount checks permissions. A returned node has a
 * reference for the caller (session_use.h). A change that fails leaves all names as they were.
 */
#ifndef MINTFS_OVERLAY_DIROPS_H
#define MINTFS_OVERLAY_DIROPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/cookies.h"
#include "fs/overlay/node.h"

MUST_CHECK int session_lookup(struct node *directory, const char *name, struct node **ret_node);
struct node_new {
    mode_t mode; /* with the type */
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    const char *target; /* of a symbolic link */
};
/* Creates a node under a new name. -EEXIST. With name NULL the node has no name (O_TMPFILE). */
MUST_CHECK int session_make(struct node *directory, const char *name, const struct node_new *how,
                            struct node **ret_node);
MUST_CHECK int session_link(struct node *node, struct node *directory, const char *name);
MUST_CHECK int session_unlink(struct node *directory, const char *name);
MUST_CHECK int session_rmdir(struct node *directory, const char *name);
/* flags: RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2), or 0. */
MUST_CHECK int session_rename(struct node *from, const char *from_name, struct node *to,
                              const char *to_name, unsigned flags);

/*
 * Visits the entries after the position `cookie` (0: all), "." and ".." included. The cookie of an
 * entry is the position after it. Entries that are added or removed do not change the cookies of
 * the others, and new ones are before every position that was handed out (cookies.h). Stops when
 * visit returns false. Locks are held, so visit must only copy.
 */
typedef bool session_visitor(const char *name, uint64_t ino, mode_t type, uint64_t cookie,
                             void *context);
void session_readdir(struct node *directory, uint64_t cookie, session_visitor *visit,
                     void *context);

#endif
