/*
 * Handlers of requests that look up, create, remove and rename files, and of FORGET.
 */
#ifndef MINTFS_MOUNT_REQUESTS_NAMES_H
#define MINTFS_MOUNT_REQUESTS_NAMES_H

#include "fs/mount/server.h"

void handle_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_forget(fuse_req_t req, fuse_ino_t id, uint64_t count);
void handle_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void handle_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void handle_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void handle_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void handle_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name);
void handle_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                   const char *new_name, unsigned flags);

#endif
