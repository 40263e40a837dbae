#include "fs/mount/session_dirs.h"

#include <limits.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/mount/emptied_sessions.h"
#include "fs/mount/leases.h"
#include "fs/mount/target.h"
#include "fs/mount/verifier.h"
#include "fs/overlay/node.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_use.h"

/* Empties the session, or discards it if that fails. */
static int clear_session(struct server *server, struct node *root)
{
    int r = emptied_clear(root);
    if (r == 0)
        return 0;
    struct session *session = node_session(root);
    if (scratch_session_discard(server->scratch, session_key(session), session_id(session)) < 0)
        log_warning("cannot empty the session %s", session_id(session));
    node_unref(root, 1);
    return r;
}

int session_dir_make(fuse_req_t req, const struct inode *parent, const char *id, mode_t mode,
                     struct node **ret_node)
{
    struct server *server = server_of(req);
    /*
     * This request was counted before it reads `leaving`; idle.c sets that, then reads the count.
     */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&server->stopping) || atomic_load(&server->leaving))
        return -ESHUTDOWN;
    if (strlen(id) > NAME_MAX)
        return -ENAMETOOLONG;
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    struct session_new_options options = {
        .mode = mode & (S_IRWXU | S_ISVTX), /* private until its owner changes the mode */
        .uid = caller->uid,
        .gid = caller->gid,
    };
    int owner = session_id_owner(id);
    int r = owner ? lease_set_owner(&options.lease, caller->pid, owner) : 0;
    if (r < 0)
        return r;
    /* -ENOENT: the template was evicted and built again since it was looked up. */
    enum { TRIES = 3 };
    bool was_emptied =
        emptied_take(server->emptied, lower_key(parent->lower), id, caller->uid, &options.lease);
    if (was_emptied)
        options.mode |= S_ISVTX;
    r = -ENOENT;
    for (int i = 0; r == -ENOENT && i < TRIES; i++) {
        struct lower *lower;
        r = scratch_lower(server->scratch, lower_key(parent->lower), &lower);
        if (r < 0)
            return r;
        r = verifier_require(req, lower);
        if (r == 0)
            r = scratch_session_new(server->scratch, lower, id, &options, ret_node);
        lower_unref(lower);
    }
    if (r == 0 && was_emptied)
        r = clear_session(server, *ret_node);
    if (r == 0 && (owner || was_emptied))
        lease_keeper_wake(server);
    return r;
}

int session_dir_discard(struct server *server, const struct inode *parent, const char *id)
{
    const char *key = lower_key(parent->lower);
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

int session_dir_rename(struct server *server, const struct inode *from, const char *id,
                       const struct inode *to, const char *new_id, unsigned flags)
{
    if (from->kind != INODE_SESSIONS_OF || to->kind != INODE_SESSIONS_OF)
        return target_refusal(from);
    if (from != to)
        return -EXDEV;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    return scratch_session_rename(server->scratch, lower_key(from->lower), id, new_id, flags);
}
