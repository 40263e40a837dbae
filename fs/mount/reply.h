/*
 * Replies to the kernel that several handlers share.
 */
#ifndef MINTFS_MOUNT_REPLY_H
#define MINTFS_MOUNT_REPLY_H

#include "fs/mount/target.h"

/* These two pass a reference to the kernel; it is dropped if the kernel does not take the reply. */
void reply_inode(fuse_req_t req, struct inode *inode);
void reply_node(fuse_req_t req, struct node *node);
void reply_fill_entry(struct node *node, struct fuse_entry_param *ret_entry);
/* The name does not exist, and the kernel may remember that. */
void reply_no_entry(fuse_req_t req);
/* A negative errno, or success without data. */
void reply_result(fuse_req_t req, int result);

#endif
