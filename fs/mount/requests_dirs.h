/*
 * Handlers of READDIR and STATFS.
 */
#ifndef MINTFS_MOUNT_REQUESTS_DIRS_H
#define MINTFS_MOUNT_REQUESTS_DIRS_H

#include "fs/mount/server.h"

void handle_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *info);
void handle_statfs(fuse_req_t req, fuse_ino_t id);

#endif
