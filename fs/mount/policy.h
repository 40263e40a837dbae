/*
 * Which requests the kernel sends, and the table of their handlers. The choices and their reasons
 * are listed in policy.c.
 */
#ifndef MINTFS_MOUNT_POLICY_H
#define MINTFS_MOUNT_POLICY_H

#include "fs/mount/server.h"

extern const struct fuse_lowlevel_ops server_operations;

#endif
