#include "fs/mount/requests_names.h"

#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount/access.h"
#include "fs/mount/reply.h"
#include "fs/mount/session_dirs.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session_use.h"

void handle_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_LOOKUP);
    struct target target = target_of(server, parent);
    if (strlen(name) > NAME_MAX) {
        reply_result(req, -ENAMETOOLONG);
        return;
    }
    struct node *node;
    struct inode *inode;
    int r;
    if (target.node) {
        r = session_lookup(target.node, name, &node);
        if (r == -ENOENT)
            reply_no_entry(req);
        else if (r < 0)
            reply_result(req, r);
        else
            reply_node(req, node);
    } else if (target.inode->kind == INODE_SESSIONS_OF) {
        r = scratch_session_find(server->scratch, lower_key(target.inode->lower), name, &node);
        if (r < 0)
            reply_result(req, r);
        else
            reply_node(req, node);
    } else {
        r = tree_lookup(server->tree, target.inode, name, &inode);
        if (r < 0)
            reply_result(req, r);
        else
            reply_inode(req, inode);
    }
}

static void forget(struct server *server, fuse_ino_t id, uint64_t count)
{
    atomic_fetch_add_explicit(&server->requests[REQUEST_FORGET], 1, memory_order_relaxed);
    struct target target = target_of(server, id);
    if (target.node) {
        node_unref(target.node, count);
        scratch_wake(server->scratch);
    } else {
        tree_forget(server->tree, target.inode, count);
    }
}

/*
 * With io_uring only FORGETs arrive over /dev/fuse. Each wakes the thread that reads them, and the
 * process that closed or removed a file pays for the wake-up. While that thread sleeps here,
 * FORGETs gather, and then arrive together.
 */
static void let_forgets_gather(struct server *server)
{
    static const struct timespec rest = {.tv_nsec = 10 * 1000 * 1000};
    if (atomic_load_explicit(&server->uses_uring, memory_order_relaxed))
        (void)nanosleep(&rest, NULL);
}

void handle_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
    struct server *server = server_of(req);
    forget(server, id, count);
    fuse_reply_none(req);
    let_forgets_gather(server);
}

void handle_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct server *server = server_of(req);
    for (size_t i = 0; i < count; i++)
        forget(server, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
    let_forgets_gather(server);
}

static int make(fuse_req_t req, struct target parent, const char *name, mode_t mode, dev_t rdev,
                const char *link_target, struct node **ret_node)
{
    if (!parent.node)
        return target_refusal(parent.inode);
    int r = access_node(req, parent.node, W_OK | X_OK);
    if (r < 0)
        return r;
    struct node_new how = access_new_node(req, parent.node, mode);
    how.rdev = rdev;
    how.target = link_target;
    return session_make(parent.node, name, &how, ret_node);
}

static void reply_made(fuse_req_t req, int result, struct node *node)
{
    if (result < 0)
        reply_result(req, result);
    else
        reply_node(req, node);
}

void handle_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct server *server = server_count(req, REQUEST_MKNOD);
    struct node *node = NULL;
    /* Device files would be useless: the mount is nodev. */
    int r = S_ISCHR(mode) || S_ISBLK(mode)
                ? -EPERM
                : make(req, target_of(server, parent), name, mode, rdev, NULL, &node);
    reply_made(req, r, node);
}

void handle_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct server *server = server_count(req, REQUEST_MKDIR);
    struct target target = target_of(server, parent);
    struct node *node = NULL;
    int r;
    if (target.inode && target.inode->kind == INODE_SESSIONS_OF)
        r = session_dir_make(req, target.inode, name, mode, &node);
    else
        r = make(req, target, name, S_IFDIR | mode, 0, NULL, &node);
    reply_made(req, r, node);
}

void handle_symlink(fuse_req_t req, const char *link_target, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_SYMLINK);
    struct node *node = NULL;
    int r = make(req, target_of(server, parent), name, S_IFLNK | 0777, 0, link_target, &node);
    reply_made(req, r, node);
}

void handle_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_UNLINK);
    struct target target = target_of(server, parent);
    int r = target.node ? access_remove(req, target.node, name) : target_refusal(target.inode);
    if (r == 0)
        r = session_unlink(target.node, name);
    reply_result(req, r);
}

void handle_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_RMDIR);
    struct target target = target_of(server, parent);
    int r;
    if (target.node) {
        r = access_remove(req, target.node, name);
        if (r == 0)
            r = session_rmdir(target.node, name);
    } else if (target.inode->kind == INODE_SESSIONS_OF) {
        r = session_dir_discard(server, target.inode, name);
    } else {
        r = target_refusal(target.inode);
    }
    reply_result(req, r);
}

void handle_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                   const char *new_name, unsigned flags)
{
    struct server *server = server_count(req, REQUEST_RENAME);
    struct target from = target_of(server, parent);
    struct target to = target_of(server, new_parent);
    int r;
    if (!from.node && !to.node) {
        r = session_dir_rename(server, from.inode, name, to.inode, new_name, flags);
    } else if (!from.node || !to.node) {
        r = -EXDEV;
    } else {
        r = access_remove(req, from.node, name);
        if (r == 0)
            r = access_remove(req, to.node, new_name);
        if (r == 0 || r == -ENOENT)
            r = session_rename(from.node, name, to.node, new_name, flags);
    }
    reply_result(req, r);
}

void handle_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_LINK);
    struct target target = target_of(server, id);
    struct target directory = target_of(server, parent);
    int r;
    if (!directory.node)
        r = target_refusal(directory.inode);
    else if (!target.node)
        r = -EXDEV;
    else
        r = access_node(req, directory.node, W_OK | X_OK);
    if (r == 0)
        r = session_link(target.node, directory.node, name);
    if (r == 0)
        node_ref(target.node);
    reply_made(req, r, target.node);
}
