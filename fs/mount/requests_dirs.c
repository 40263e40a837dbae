#include "fs/mount/requests_dirs.h"

#include <limits.h>

#include "fs/mount/notify.h"
#include "fs/mount/reply.h"
#include "fs/overlay/dirops.h"

/* A reply to READDIR that is being filled. */
struct reply {
    fuse_req_t req;
    char *buffer;
    size_t size;
    size_t used;
};

static bool add_entry(const char *name, uint64_t ino, mode_t type, uint64_t cookie, void *context)
{
    struct reply *reply = context;
    struct stat status = {.st_ino = ino, .st_mode = type};
    size_t left = reply->size - reply->used;
    size_t need = fuse_add_direntry(reply->req, reply->buffer + reply->used, left, name, &status,
                                    (off_t)cookie);
    if (need > left)
        return false;
    reply->used += need;
    return true;
}

static void list_sessions(struct server *server, const struct inode *inode, uint64_t cookie,
                          struct reply *reply)
{
    if (cookie < COOKIE_SELF && !add_entry(".", inode->ino, S_IFDIR, COOKIE_SELF, reply))
        return;
    if (cookie < COOKIE_PARENT && !add_entry("..", tree_listing(server->tree, INODE_SESSIONS)->ino,
                                             S_IFDIR, COOKIE_PARENT, reply))
        return;
    scratch_readdir(server->scratch, lower_key(inode->lower), cookie, add_entry, reply);
}

static int list(struct server *server, struct target target, uint64_t cookie, struct reply *reply)
{
    if (target.node) {
        session_readdir(target.node, cookie, add_entry, reply);
        return 0;
    }
    if (target.inode->kind == INODE_SESSIONS_OF) {
        list_sessions(server, target.inode, cookie, reply);
        return 0;
    }
    int r = tree_readdir(server->tree, target.inode, cookie, add_entry, reply);
    /* The kernel would keep the listing forever, but builds add to these two: see policy.c. */
    if (reply->used == 0 &&
        (target.inode->kind == INODE_TEMPLATES || target.inode->kind == INODE_SESSIONS))
        notifier_drop_listing(server, target.inode->kind);
    return r;
}

void handle_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *info UNUSED)
{
    struct server *server = server_count(req, REQUEST_READDIR);
    AUTO_FREE char *buffer = malloc(size);
    if (!buffer) {
        reply_result(req, -ENOMEM);
        return;
    }
    struct reply reply = {.req = req, .buffer = buffer, .size = size};
    int r = list(server, target_of(server, id), (uint64_t)offset, &reply);
    if (r < 0)
        reply_result(req, r);
    else
        fuse_reply_buf(req, buffer, reply.used);
}

void handle_statfs(fuse_req_t req, fuse_ino_t id UNUSED)
{
    struct server *server = server_count(req, REQUEST_STATFS);
    struct statvfs status;
    int r = scratch_statvfs(server->scratch, &status);
    if (r < 0) {
        reply_result(req, r);
        return;
    }
    status.f_namemax = NAME_MAX;
    fuse_reply_statfs(req, &status);
}
