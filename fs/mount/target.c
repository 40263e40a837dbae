#include "fs/mount/target.h"

#include <assert.h>

#include "fs/overlay/attributes.h"

static const uintptr_t node_tag = 1;

struct target target_of(struct server *server, fuse_ino_t id)
{
    uintptr_t pointer = (uintptr_t)id;
    if (id == FUSE_ROOT_ID)
        return (struct target){.inode = tree_root(server->tree)};
    if (pointer & node_tag)
        return (struct target){.node = (struct node *)(pointer & ~node_tag)};
    return (struct target){.inode = (struct inode *)pointer};
}

fuse_ino_t target_id_of_node(const struct node *node)
{
    return (fuse_ino_t)((uintptr_t)node | node_tag);
}

fuse_ino_t target_id_of_inode(const struct inode *inode)
{
    return (fuse_ino_t)(uintptr_t)inode;
}

void target_stat(struct server *server, struct target target, struct stat *ret_status)
{
    if (target.node)
        node_stat(target.node, ret_status);
    else
        tree_stat(server->tree, target.inode, ret_status);
}

/* Limited if a build or an eviction may change it without the kernel's knowledge. */
double target_validity(struct target target)
{
    if (target.node)
        return TARGET_FOREVER_SECONDS;
    switch (target.inode->kind) {
    case INODE_NAME:
    case INODE_STATUS:
        return 0;
    case INODE_TEMPLATE: /* may be evicted */
        return target.inode->entry == LOWER_ROOT ? 1 : TARGET_FOREVER_SECONDS;
    default:
        return TARGET_FOREVER_SECONDS;
    }
}

int target_refusal(const struct inode *inode)
{
    assert(inode);
    return inode->kind == INODE_TEMPLATE || inode->kind == INODE_TEMPLATES ? -EROFS : -EPERM;
}
