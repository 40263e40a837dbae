#include "fs/mount/access.h"

#include <unistd.h>

#include "fs/overlay/attributes.h"
#include "fs/overlay/session_use.h"

static bool kernel_checks(fuse_req_t req)
{
    return server_of(req)->options->allow_other || fuse_req_ctx(req)->uid == 0;
}

static int check_mode(const struct fuse_ctx *caller, const struct stat *status, int want)
{
    mode_t bits = status->st_mode;
    if (caller->uid == status->st_uid)
        bits >>= 6;
    else if (caller->gid == status->st_gid)
        bits >>= 3;
    return (bits & (mode_t)want) == (mode_t)want ? 0 : -EACCES;
}

int access_node(fuse_req_t req, struct node *node, int want)
{
    if (kernel_checks(req))
        return 0;
    struct stat status;
    node_stat(node, &status);
    return check_mode(fuse_req_ctx(req), &status, want);
}

int access_ask(fuse_req_t req, struct node *node, int want)
{
    struct stat status;
    if (fuse_req_ctx(req)->uid != 0)
        return access_node(req, node, want);
    /* Root may do everything, except execute a file that nobody may execute. */
    node_stat(node, &status);
    bool is_executable =
        S_ISDIR(status.st_mode) || (status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH));
    return (want & X_OK) && !is_executable ? -EACCES : 0;
}

int access_remove(fuse_req_t req, struct node *directory, const char *name)
{
    if (kernel_checks(req))
        return 0;
    struct stat status;
    node_stat(directory, &status);
    int r = check_mode(fuse_req_ctx(req), &status, W_OK | X_OK);
    uid_t uid = fuse_req_ctx(req)->uid;
    if (r < 0 || !(status.st_mode & S_ISVTX) || status.st_uid == uid)
        return r;
    struct node *child;
    r = session_lookup(directory, name, &child);
    if (r < 0)
        return r;
    node_stat(child, &status);
    node_unref(child, 1);
    return status.st_uid == uid ? 0 : -EPERM;
}

static bool is_in_group(fuse_req_t req, gid_t gid)
{
    enum { GROUPS_MAX = 256 };
    gid_t groups[GROUPS_MAX];
    if (fuse_req_ctx(req)->gid == gid)
        return true;
    int count = fuse_req_getgroups(req, GROUPS_MAX, groups);
    for (int i = 0; i < count && i < GROUPS_MAX; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

int access_set(fuse_req_t req, struct node *node, const struct stat *to, int which)
{
    if (kernel_checks(req))
        return 0;
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    struct stat status;
    node_stat(node, &status);
    bool owner = caller->uid == status.st_uid;
    if ((which & FUSE_SET_ATTR_MODE) && !owner)
        return -EPERM;
    if ((which & FUSE_SET_ATTR_UID) && (!owner || to->st_uid != status.st_uid))
        return -EPERM;
    if ((which & FUSE_SET_ATTR_GID) &&
        (!owner || (to->st_gid != status.st_gid && !is_in_group(req, to->st_gid))))
        return -EPERM;
    return 0;
}

struct node_new access_new_node(fuse_req_t req, struct node *directory, mode_t mode)
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
