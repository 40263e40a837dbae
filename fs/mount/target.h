/*
 * What a FUSE node ID refers to: an inode of the mount's own tree (tree.h), or a node of a session
 * (fs/overlay/node.h).
 *
 * A node ID is a pointer. Its low bit tells the two apart: clear for a struct inode, set for a
 * struct node. Replies pass references to the kernel, which returns them by FORGET, so the pointer
 * in a request is always valid.
 */
#ifndef MINTFS_MOUNT_TARGET_H
#define MINTFS_MOUNT_TARGET_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"
#include "fs/mount/tree.h"

/* Exactly one of the two is set. */
struct target {
    struct inode *inode;
    struct node *node;
};
struct target target_of(struct server *server, fuse_ino_t id);
fuse_ino_t target_id_of_node(const struct node *node);
fuse_ino_t target_id_of_inode(const struct inode *inode);

void target_stat(struct server *server, struct target target, struct stat *ret_status);
/* The validity of what changes only through the kernel: see policy.c. */
#define TARGET_FOREVER_SECONDS (365.0 * 86400)
/* For how many seconds the kernel may cache the target's name and attributes. */
double target_validity(struct target target);
/* The error for a request that would change an inode: -EROFS for templates, else -EPERM. */
int target_refusal(const struct inode *inode);

#endif
