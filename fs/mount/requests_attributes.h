/*
 * Handlers of requests about attributes, permissions and the targets of links.
 */
#ifndef MINTFS_MOUNT_REQUESTS_ATTRIBUTES_H
#define MINTFS_MOUNT_REQUESTS_ATTRIBUTES_H

#include "fs/mount/server.h"

void handle_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_setattr(fuse_req_t req, fuse_ino_t id, struct stat *to, int which,
                    struct fuse_file_info *info);
void handle_access(fuse_req_t req, fuse_ino_t id, int want);
void handle_readlink(fuse_req_t req, fuse_ino_t id);
/* Sets a session's lease (leases.h); there are no other extended attributes. */
void handle_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value,
                     size_t size, int flags);

#endif
