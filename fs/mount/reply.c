#include "fs/mount/server.h"

#include <time.h>

/* "For good", as the kernel counts: see policy.c for what is cached so. */
static const double forever_seconds = 365.0 * 86400;

static const uintptr_t node_tag = 1;

struct server *server_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

void server_touch(struct server *server)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    atomic_store_explicit(&server->used_ns, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                          memory_order_relaxed);
}

struct server *server_count(fuse_req_t req, enum request_kind kind)
{
    struct server *server = server_of(req);
    atomic_fetch_add_explicit(&server->requests[kind], 1, memory_order_relaxed);
    if (server->options->idle_seconds)
        server_touch(server);
#ifdef HAVE_FUSE_URING
    if (!atomic_load_explicit(&server->uses_uring, memory_order_relaxed) && fuse_req_is_uring(req))
        atomic_store(&server->uses_uring, true);
#endif
    return server;
}

void server_opened(struct server *server)
{
    atomic_fetch_add(&server->open_files, 1);
}

void server_closed(struct server *server)
{
    if (atomic_fetch_sub(&server->open_files, 1) != 1)
        return;
    if (atomic_load(&server->detached))
        stopper_wake(server);
    if (!atomic_load(&server->stopping))
        return;
    (void)pthread_mutex_lock(&server->mutex);
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
}

struct target target_of(struct server *server, fuse_ino_t id)
{
    uintptr_t pointer = (uintptr_t)id;
    if (id == FUSE_ROOT_ID)
        return (struct target){.inode = tree_root(server->tree)};
    if (pointer & node_tag)
        return (struct target){.node = (struct node *)(pointer & ~node_tag)};
    return (struct target){.inode = (struct inode *)pointer};
}

fuse_ino_t id_of_node(const struct node *node)
{
    return (fuse_ino_t)((uintptr_t)node | node_tag);
}

void target_stat(struct server *server, struct target target, struct stat *ret_status)
{
    if (target.node)
        node_stat(target.node, ret_status);
    else
        tree_stat(server->tree, target.inode, ret_status);
}

/* What a build may change behind the kernel's back is asked for again each time. */
double target_validity(struct target target)
{
    if (target.node)
        return forever_seconds;
    switch (target.inode->kind) {
    case INODE_NAME:
    case INODE_STATUS:
        return 0;
    case INODE_TEMPLATE: /* may be evicted */
        return target.inode->entry == LOWER_ROOT ? 1 : forever_seconds;
    default:
        return forever_seconds;
    }
}

void reply_inode(fuse_req_t req, struct inode *inode)
{
    struct server *server = server_of(req);
    double validity = target_validity((struct target){.inode = inode});
    struct fuse_entry_param entry = {
        .ino = (fuse_ino_t)(uintptr_t)inode,
        .entry_timeout = validity,
        .attr_timeout = validity,
    };
    tree_stat(server->tree, inode, &entry.attr);
    if (fuse_reply_entry(req, &entry) < 0)
        tree_forget(server->tree, inode, 1);
}

void fill_node_entry(struct node *node, struct fuse_entry_param *ret_entry)
{
    *ret_entry = (struct fuse_entry_param){
        .ino = id_of_node(node),
        .entry_timeout = forever_seconds,
        .attr_timeout = forever_seconds,
    };
    node_stat(node, &ret_entry->attr);
}

void reply_node(fuse_req_t req, struct node *node)
{
    struct fuse_entry_param entry;
    fill_node_entry(node, &entry);
    if (fuse_reply_entry(req, &entry) < 0)
        node_unref(node, 1);
}

void reply_no_entry(fuse_req_t req)
{
    struct fuse_entry_param entry = {.entry_timeout = forever_seconds};
    fuse_reply_entry(req, &entry);
}

void reply_result(fuse_req_t req, int result)
{
    fuse_reply_err(req, result < 0 ? -result : 0);
}
