#include "fs/mount/reply.h"

#include "fs/overlay/attributes.h"
#include "fs/overlay/session_use.h"

void reply_inode(fuse_req_t req, struct inode *inode)
{
    struct server *server = server_of(req);
    double validity = target_validity((struct target){.inode = inode});
    struct fuse_entry_param entry = {
        .ino = target_id_of_inode(inode),
        .entry_timeout = validity,
        .attr_timeout = validity,
    };
    tree_stat(server->tree, inode, &entry.attr);
    if (fuse_reply_entry(req, &entry) < 0)
        tree_forget(server->tree, inode, 1);
}

void reply_fill_entry(struct node *node, struct fuse_entry_param *ret_entry)
{
    double validity = target_validity((struct target){.node = node});
    *ret_entry = (struct fuse_entry_param){
        .ino = target_id_of_node(node),
        .entry_timeout = validity,
        .attr_timeout = validity,
    };
    node_stat(node, &ret_entry->attr);
}

void reply_node(fuse_req_t req, struct node *node)
{
    struct fuse_entry_param entry;
    reply_fill_entry(node, &entry);
    if (fuse_reply_entry(req, &entry) < 0)
        node_unref(node, 1);
}

void reply_no_entry(fuse_req_t req)
{
    struct fuse_entry_param entry = {.entry_timeout = TARGET_FOREVER_SECONDS};
    fuse_reply_entry(req, &entry);
}

void reply_result(fuse_req_t req, int result)
{
    fuse_reply_err(req, result < 0 ? -result : 0);
}
