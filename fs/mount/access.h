/*
 * Permissions of session nodes, for mounts without allow_other. There the kernel checks none, which
 * saves it the requests for attributes that its checks need, and only the user who mounted can
 * enter. With allow_other the kernel has checked already, and all functions but access_ask() allow.
 *
 * They return 0, -EACCES or -EPERM.
 */
#ifndef MINTFS_MOUNT_ACCESS_H
#define MINTFS_MOUNT_ACCESS_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/session.h"

/* want: R_OK, W_OK and X_OK, combined. */
MUST_CHECK int access_node(fuse_req_t req, struct node *node, int want);
/* For access(2): the same, but with an answer for root, too. */
MUST_CHECK int access_ask(fuse_req_t req, struct node *node, int want);
/* To remove a child of a directory: write permission, and ownership if the directory is sticky. */
MUST_CHECK int access_remove(fuse_req_t req, struct node *directory, const char *name);
/* To set the attributes that SETATTR names. */
MUST_CHECK int access_set(fuse_req_t req, struct node *node, const struct stat *to, int which);

/*
 * Mode and owner of a new node, as ext4 assigns them: the caller's user and group, but a setgid
 * directory passes on its group.
 */
struct node_new access_new_node(fuse_req_t req, struct node *directory, mode_t mode);

#endif
