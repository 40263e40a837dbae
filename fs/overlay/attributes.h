/*
 * The attributes of a node.
 */
#ifndef MINTFS_OVERLAY_ATTRIBUTES_H
#define MINTFS_OVERLAY_ATTRIBUTES_H

#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/node.h"

/* st_ino is unique among all sessions that the scratch ever had. */
void node_stat(struct node *node, struct stat *ret_status);

enum node_set {
    NODE_SET_MODE = 1,
    NODE_SET_UID = 2,
    NODE_SET_GID = 4,
    NODE_SET_SIZE = 8,
    NODE_SET_ATIME = 16,
    NODE_SET_MTIME = 32,
    NODE_SET_CTIME = 64,
};
/*
 * Sets the attributes that `which` (enum node_set, combined) names. On an error nothing has
 * changed. Of a size: -EISDIR, -EINVAL if the node is not a regular file, -EFBIG.
 */
MUST_CHECK int node_set(struct node *node, const struct stat *to, unsigned which);

#endif
