/*
 * The names in a session's directories. Errors are those of the system calls (-ENOTEMPTY,
 * -ENAMETOOLONG, ...); permissions are the mount's business. A node that is returned has a reference
 * for the caller (session_use.h).
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
/* A new node under a new name; -EEXIST where there is one. With name NULL it has none (O_TMPFILE).
 */
MUST_CHECK int session_make(struct node *directory, const char *name, const struct node_new *how,
                            struct node **ret_node);
MUST_CHECK int session_link(struct node *node, struct node *directory, const char *name);
MUST_CHECK int session_unlink(struct node *directory, const char *name);
MUST_CHECK int session_rmdir(struct node *directory, const char *name);
/* flags: RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2), or 0. */
MUST_CHECK int session_rename(struct node *from, const char *from_name, struct node *to,
                              const char *to_name, unsigned flags);

/*
 * Entries after the position `cookie` (0: all), "." and ".." included; each comes with the cookie
 * that continues after it. Entries that come and go leave the others' cookies alone, and new ones
 * come before every position that was handed out (cookies.h). Stops when visit answers false. The
 * locks are held: visit only copies.
 */
typedef bool session_visitor(const char *name, uint64_t ino, mode_t type, uint64_t cookie,
                             void *context);
void session_readdir(struct node *directory, uint64_t cookie, session_visitor *visit,
                     void *context);

#endif
