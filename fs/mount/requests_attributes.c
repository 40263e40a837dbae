#include "fs/mount/requests_attributes.h"

#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/mount/access.h"
#include "fs/mount/leases.h"
#include "fs/mount/reply.h"
#include "fs/overlay/attributes.h"
#include "fs/overlay/node.h"

static void reply_attributes(fuse_req_t req, struct target target)
{
    struct stat status;
    target_stat(server_of(req), target, &status);
    fuse_reply_attr(req, &status, target_validity(target));
}

void handle_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info UNUSED)
{
    struct server *server = server_count(req, REQUEST_GETATTR);
    reply_attributes(req, target_of(server, id));
}

static unsigned to_node_set(int which, struct stat *to)
{
    static const struct {
        int theirs;
        unsigned ours;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, NODE_SET_MODE},   {FUSE_SET_ATTR_UID, NODE_SET_UID},
        {FUSE_SET_ATTR_GID, NODE_SET_GID},     {FUSE_SET_ATTR_SIZE, NODE_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, NODE_SET_ATIME}, {FUSE_SET_ATTR_MTIME, NODE_SET_MTIME},
        {FUSE_SET_ATTR_CTIME, NODE_SET_CTIME},
    };
    unsigned set = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(bits); i++)
        if (which & bits[i].theirs)
            set |= bits[i].ours;
    struct timespec now = clock_to_timespec(clock_real_ns());
    if (which & FUSE_SET_ATTR_ATIME_NOW) {
        to->st_atim = now;
        set |= NODE_SET_ATIME;
    }
    if (which & FUSE_SET_ATTR_MTIME_NOW) {
        to->st_mtim = now;
        set |= NODE_SET_MTIME;
    }
    return set;
}

void handle_setattr(fuse_req_t req, fuse_ino_t id, struct stat *to, int which,
                    struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_SETATTR);
    struct target target = target_of(server, id);
    if (!target.node) {
        reply_result(req, target_refusal(target.inode));
        return;
    }
    int r = access_set(req, target.node, to, which);
    /* ftruncate(2) was allowed when the file was opened for writing. */
    if (r == 0 && (which & FUSE_SET_ATTR_SIZE) && !info)
        r = access_node(req, target.node, W_OK);
    if (r == 0) {
        unsigned set = to_node_set(which, to);
        r = node_set(target.node, to, set);
    }
    if (r < 0)
        reply_result(req, r);
    else
        reply_attributes(req, target);
}

void handle_access(fuse_req_t req, fuse_ino_t id, int want)
{
    struct target target = target_of(server_count(req, REQUEST_ACCESS), id);
    int r = 0;
    if (target.node)
        r = access_ask(req, target.node, want);
    else if ((want & W_OK) && target.inode->kind != INODE_SESSIONS_OF)
        r = target_refusal(target.inode) == -EROFS ? -EROFS : -EACCES;
    reply_result(req, r);
}

void handle_readlink(fuse_req_t req, fuse_ino_t id)
{
    struct server *server = server_count(req, REQUEST_READLINK);
    struct target target = target_of(server, id);
    if (target.node)
        fuse_reply_readlink(req, node_target(target.node));
    else if (target.inode->kind == INODE_NAME)
        fuse_reply_readlink(req, target.inode->target);
    else
        fuse_reply_readlink(req, lower_entry(target.inode->lower, target.inode->entry)->target);
}

void handle_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value,
                     size_t size, int flags UNUSED)
{
    struct server *server = server_count(req, REQUEST_SETXATTR);
    struct target target = target_of(server, id);
    int r = -EOPNOTSUPP;
    if (target.node && node_is_root(target.node)) {
        r = access_node(req, target.node, W_OK);
        if (r == 0)
            r = lease_set(target.node, fuse_req_ctx(req)->pid, name, value, size);
        if (r == 0)
            lease_keeper_wake(server);
    }
    reply_result(req, r);
}
