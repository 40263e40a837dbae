/*
 * info->fh depends on what was opened:
 *
 *     a session's file     0: the node has all state
 *     a template's file    the descriptor
 *     status.json          the text, a snapshot of the state at open(2)
 */
#include "fs/mount/requests_files.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/mount/access.h"
#include "fs/mount/reply.h"
#include "fs/mount/status.h"
#include "fs/mount/verifier.h"
#include "fs/overlay/attributes.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/fallocate.h"
#include "fs/overlay/file_io.h"
#include "fs/overlay/session_use.h"

static bool wants_write(const struct fuse_file_info *info)
{
    return (info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC);
}

static int open_template(fuse_req_t req, struct inode *inode, struct fuse_file_info *info)
{
    if (wants_write(info))
        return -EROFS;
    int fd = -1;
    int r = verifier_require(req, inode->lower);
    if (r == 0)
        r = lower_file_acquire(inode->lower, inode->entry, &fd);
    if (r < 0)
        return r;
    info->fh = (uint64_t)fd;
    info->keep_cache = 1;
    return 0;
}

static int open_status(struct server *server, struct fuse_file_info *info)
{
    if (wants_write(info))
        return -EROFS;
    char *text = status_text(server);
    if (!text)
        return -ENOMEM;
    info->fh = (uint64_t)(uintptr_t)text;
    info->direct_io = 1;
    return 0;
}

struct warming {
    struct fuse_session *fuse;
    fuse_ino_t id;
};

/* Stores bytes in the page cache. A failure only costs a READ later. */
static void store_pages(uint64_t offset, const void *bytes, size_t size, void *context)
{
    const struct warming *warming = context;
    struct fuse_bufvec buffer = FUSE_BUFVEC_INIT(size);
    buffer.buf[0].mem = (void *)(uintptr_t)bytes;
    (void)fuse_lowlevel_notify_store(warming->fuse, warming->id, (off_t)offset, &buffer, 0);
}

static int open_node(fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
    static const int needs[] = {[O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK};
    int mode = info->flags & O_ACCMODE;
    int want = mode == O_ACCMODE ? R_OK | W_OK : needs[mode];
    if (info->flags & O_TRUNC)
        want |= W_OK;
#ifdef __FMODE_EXEC
    if (info->flags & __FMODE_EXEC)
        want = X_OK;
#endif
    int r = access_node(req, node, want);
    if (r == 0)
        r = info->flags & O_TRUNC
                ? file_open(node)
                : file_open_warm(node, store_pages,
                                 &(struct warming){.fuse = server_of(req)->fuse,
                                                   .id = target_id_of_node(node)});
    if (r < 0)
        return r;
    if (info->flags & O_TRUNC) {
        struct stat empty = {0};
        r = node_set(node, &empty, NODE_SET_SIZE);
        if (r < 0) {
            file_close(node);
            return r;
        }
    }
    info->fh = 0;
    info->keep_cache = 1;
    return 0;
}

static void close_target(struct server *server, struct target target,
                         const struct fuse_file_info *info)
{
    assert(target.node || target.inode);
    if (target.node)
        file_close(target.node);
    else if (target.inode->kind == INODE_STATUS)
        free((void *)(uintptr_t)info->fh);
    else
        lower_file_release(target.inode->lower, target.inode->entry);
    server_closed(server);
}

void handle_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_OPEN);
    struct target target = target_of(server, id);
    int r;
    if (atomic_load(&server->stopping))
        r = -ESHUTDOWN;
    else if (target.node)
        r = open_node(req, target.node, info);
    else if (target.inode->kind == INODE_STATUS)
        r = open_status(server, info);
    else
        r = open_template(req, target.inode, info);
    if (r < 0) {
        reply_result(req, r);
        return;
    }
    server_opened(server);
    if (fuse_reply_open(req, info) < 0)
        close_target(server, target, info);
}

/* Creates a file and opens it. `name` is NULL for O_TMPFILE. */
static int create(fuse_req_t req, struct node *directory, const char *name, mode_t mode,
                  struct node **ret_node)
{
    int r = access_node(req, directory, W_OK | X_OK);
    if (r < 0)
        return r;
    struct node_new how = access_new_node(req, directory, S_IFREG | (mode & 07777));
    struct node *node;
    r = session_make(directory, name, &how, &node);
    if (r < 0)
        return r;
    r = file_open(node);
    if (r < 0) {
        node_unref(node, 1);
        return r;
    }
    *ret_node = node;
    return 0;
}

/* If another process has created the file since the kernel's LOOKUP, this is an ordinary open. */
static int create_or_open(fuse_req_t req, struct node *directory, const char *name, mode_t mode,
                          struct fuse_file_info *info, struct node **ret_node)
{
    int r = create(req, directory, name, mode, ret_node);
    if (r != -EEXIST || (info->flags & O_EXCL))
        return r;
    r = session_lookup(directory, name, ret_node);
    if (r < 0)
        return r;
    struct stat status;
    node_stat(*ret_node, &status);
    r = S_ISREG(status.st_mode) ? open_node(req, *ret_node, info) : -EEXIST;
    if (r < 0)
        node_unref(*ret_node, 1);
    return r;
}

static void reply_created(fuse_req_t req, struct node *node, struct fuse_file_info *info)
{
    struct server *server = server_of(req);
    struct fuse_entry_param entry;
    reply_fill_entry(node, &entry);
    info->fh = 0;
    info->keep_cache = 1;
    server_opened(server);
    if (fuse_reply_create(req, &entry, info) < 0) {
        close_target(server, (struct target){.node = node}, info);
        node_unref(node, 1);
    }
}

void handle_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                   struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_CREATE);
    struct target target = target_of(server, parent);
    struct node *node;
    int r;
    if (!target.node)
        r = target.inode->kind == INODE_TEMPLATE ? -EROFS : -EPERM;
    else if (atomic_load(&server->stopping))
        r = -ESHUTDOWN;
    else
        r = create_or_open(req, target.node, name, mode, info, &node);
    if (r < 0)
        reply_result(req, r);
    else
        reply_created(req, node, info);
}

#ifdef HAVE_FUSE_TMPFILE
void handle_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_TMPFILE);
    struct target target = target_of(server, parent);
    struct node *node;
    int r = -EOPNOTSUPP;
    if (target.node)
        r = atomic_load(&server->stopping) ? -ESHUTDOWN
                                           : create(req, target.node, NULL, mode, &node);
    if (r < 0)
        reply_result(req, r);
    else
        reply_created(req, node, info);
}
#endif

static ssize_t read_target(struct target target, char *buffer, size_t size, off_t offset,
                           const struct fuse_file_info *info)
{
    if (target.node)
        return file_read(target.node, buffer, size, (uint64_t)offset);
    if (target.inode->kind == INODE_TEMPLATE)
        return io_pread((int)info->fh, buffer, size, offset);
    const char *text = (const char *)(uintptr_t)info->fh;
    size_t length = strlen(text);
    size_t from = (size_t)offset < length ? (size_t)offset : length;
    size_t available = size < length - from ? size : length - from;
    memcpy(buffer, text + from, available);
    return (ssize_t)available;
}

void handle_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                 struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_READ);
    AUTO_FREE char *buffer = malloc(size ? size : 1);
    ssize_t n = buffer ? read_target(target_of(server, id), buffer, size, offset, info) : -ENOMEM;
    if (n < 0)
        reply_result(req, (int)n);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
}

void handle_write(fuse_req_t req, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
                  struct fuse_file_info *info UNUSED)
{
    struct server *server = server_count(req, REQUEST_WRITE);
    struct target target = target_of(server, id);
    int r = target.node ? file_write(target.node, bytes, size, (uint64_t)offset) : -EROFS;
    if (r < 0)
        reply_result(req, r);
    else
        fuse_reply_write(req, size);
}

void handle_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
    struct server *server = server_count(req, REQUEST_RELEASE);
    close_target(server, target_of(server, id), info);
    reply_result(req, 0);
}

void handle_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t length,
                      struct fuse_file_info *info UNUSED)
{
    struct server *server = server_count(req, REQUEST_FALLOCATE);
    struct target target = target_of(server, id);
    reply_result(req, target.node
                          ? file_allocate(target.node, mode, (uint64_t)offset, (uint64_t)length)
                          : -EROFS);
}
