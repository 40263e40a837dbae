/*
 * Handlers of requests about open files: their content, and how they are opened and closed.
 */
#ifndef MINTFS_MOUNT_REQUESTS_FILES_H
#define MINTFS_MOUNT_REQUESTS_FILES_H

#include "fs/mount/server.h"

void handle_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                   struct fuse_file_info *info);
void handle_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *info);
void handle_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                 struct fuse_file_info *info);
void handle_write(fuse_req_t req, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
                  struct fuse_file_info *info);
void handle_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t length,
                      struct fuse_file_info *info);

#endif
