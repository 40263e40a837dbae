/*
 * Requests about names and attributes.
 */
#include <assert.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/mount/emptied_sessions.h"
#include "fs/mount/server.h"

/* What cannot be changed from here: templates never, the rest of the tree not by these calls. */
static int refusal(const struct inode *inode)
{
    assert(inode); /* whatever is no session's node */
    return inode->kind == INODE_TEMPLATE || inode->kind == INODE_TEMPLATES ? -EROFS : -EPERM;
}

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
        r = scratch_session_find(server->scratch, lower_key(target.inode->base), name, &node);
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
 * With io_uring only FORGETs come through /dev/fuse, each with a wake-up that is paid for by whoever
 * closed or removed something. While the thread that reads them rests they gather, and come at once.
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
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
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
        reply_result(req, refusal(target.inode));
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
        r = refusal(target.inode) == -EROFS ? -EROFS : -EACCES;
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
        fuse_reply_readlink(req, lower_entry(target.inode->base, target.inode->entry)->target);
}

/* Whose a new node is, as ext4 does it: the caller's, but a setgid directory gives its group. */
static struct node_new owned_by_caller(fuse_req_t req, struct node *directory, mode_t mode)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    struct node_new how = {.mode = mode, .uid = caller->uid, .gid = caller->gid};
    struct stat status;
    node_stat(directory, &status);
    if (status.st_mode & S_ISGID) {
        how.gid = status.st_gid;
        if (S_ISDIR(mode))
            how.mode |= S_ISGID;
    }
    return how;
}

static int make(fuse_req_t req, struct target parent, const char *name, mode_t mode, dev_t rdev,
                const char *link_target, struct node **ret_node)
{
    if (!parent.node)
        return refusal(parent.inode);
    int r = access_node(req, parent.node, W_OK | X_OK);
    if (r < 0)
        return r;
    struct node_new how = owned_by_caller(req, parent.node, mode);
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
    /* Devices would be of no use: the mount is nodev. */
    int r = S_ISCHR(mode) || S_ISBLK(mode)
                ? -EPERM
                : make(req, target_of(server, parent), name, mode, rdev, NULL, &node);
    reply_made(req, r, node);
}

/* All or nothing: what cannot be emptied is discarded. */
static int clear_session(struct server *server, struct node *root)
{
    int r = emptied_clear(root);
    if (r == 0)
        return 0;
    struct session *session = node_session(root);
    if (scratch_session_discard(server->scratch, session_key(session), session_id(session)) < 0)
        log_warning("the session %s was to be emptied, and is not", session_id(session));
    node_unref(root, 1);
    return r;
}

static int make_session(fuse_req_t req, struct inode *parent, const char *name, mode_t mode,
                        struct node **ret_node)
{
    struct server *server = server_of(req);
    /* This request was counted (server_count()) before it asks: see try_idle_exit(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&server->stopping) || atomic_load(&server->leaving))
        return -ESHUTDOWN;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    struct session_new_options options = {
        .mode = mode & (S_IRWXU | S_ISVTX), /* its maker's alone, until he opens it */
        .uid = caller->uid,
        .gid = caller->gid,
    };
    int owner = session_id_owner(name);
    int r = owner ? lease_set_owner(&options.lease, caller->pid, owner) : 0;
    if (r < 0)
        return r;
    /* Evicted and built anew since the directory was looked up, the template is another. */
    enum { TRIES = 3 };
    bool is_again =
        emptied_take(server->emptied, lower_key(parent->base), name, caller->uid, &options.lease);
    if (is_again)
        options.mode |= S_ISVTX;
    r = -ENOENT;
    for (int i = 0; r == -ENOENT && i < TRIES; i++) {
        struct lower *base;
        r = scratch_lower(server->scratch, lower_key(parent->base), &base);
        if (r < 0)
            return r;
        r = verifier_require(req, base);
        if (r == 0)
            r = scratch_session_new(server->scratch, base, name, &options, ret_node);
        lower_unref(base);
    }
    if (r == 0 && is_again)
        r = clear_session(server, *ret_node);
    if (r == 0 && (owner || is_again))
        lease_keeper_wake(server);
    return r;
}

void handle_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct server *server = server_count(req, REQUEST_MKDIR);
    struct target target = target_of(server, parent);
    struct node *node = NULL;
    int r;
    if (target.inode && target.inode->kind == INODE_SESSIONS_OF)
        r = make_session(req, target.inode, name, mode, &node);
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
    int r = target.node ? access_remove(req, target.node, name) : refusal(target.inode);
    if (r == 0)
        r = session_unlink(target.node, name);
    reply_result(req, r);
}

static int discard_session(struct server *server, const char *key, const char *id)
{
    struct emptied_session session;
    struct node *root;
    int r = scratch_session_find(server->scratch, key, id, &root);
    if (r < 0)
        return r;
    bool is_emptied = emptied_describe(root, &session);
    node_unref(root, 1);
    r = scratch_session_discard(server->scratch, key, id);
    if (r == 0 && is_emptied)
        emptied_remember(server->emptied, &session);
    return r;
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
        r = discard_session(server, lower_key(target.inode->base), name);
    } else {
        r = refusal(target.inode);
    }
    reply_result(req, r);
}

/* Another ID for a session; renamed over another one, it takes that one's place: a reset. */
static int rename_session(struct server *server, const struct inode *from, const char *name,
                          const struct inode *to, const char *new_name, unsigned flags)
{
    if (from->kind != INODE_SESSIONS_OF || to->kind != INODE_SESSIONS_OF)
        return refusal(from);
    if (from != to)
        return -EXDEV;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    return scratch_session_rename(server->scratch, lower_key(from->base), name, new_name,
                                  !(flags & RENAME_NOREPLACE));
}

void handle_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                   const char *new_name, unsigned flags)
{
    struct server *server = server_count(req, REQUEST_RENAME);
    struct target from = target_of(server, parent);
    struct target to = target_of(server, new_parent);
    int r;
    if (!from.node && !to.node) {
        r = rename_session(server, from.inode, name, to.inode, new_name, flags);
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

void handle_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name)
{
    struct server *server = server_count(req, REQUEST_LINK);
    struct target target = target_of(server, id);
    struct target directory = target_of(server, parent);
    int r;
    if (!directory.node)
        r = refusal(directory.inode);
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
