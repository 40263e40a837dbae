/*
 * Which requests the kernel sends, which it never sends, and why. All such choices stand here.
 *
 *     request       sent?     because
 *     ACCESS        rarely    for access(2) and chdir(2); SQLite looks for journals by stat(2)
 *     FLUSH         never     ENOSYS: close(2) pushes dirty pages by itself
 *     FSYNC,        never     ENOSYS: fsync(2) still writes dirty pages to us and tells errors;
 *      FSYNCDIR               what we have lies in the page cache and outlives the daemon
 *     GETXATTR etc. never     there are none; SETXATTR sets a session's lease (leases.c)
 *     OPENDIR       never     ENOSYS: SQLite opens a directory in each transaction, to sync it
 *     SETLK, FLOCK  never     the capabilities are off: the kernel keeps locks, right for one host
 *     IOCTL, POLL,  never     no handler
 *      BMAP, COPY_FILE_RANGE  (a copy then goes through the page cache)
 *     LSEEK         never     no handler: for SEEK_DATA the kernel then takes all of a file for data.
 *                             We do not know yet what it holds back (WRITE), and a hole told in
 *                             its place is lost to who copies the file; nor can we ask for it,
 *                             as a request that waits for others can stall its io_uring queue
 *     LOOKUP        once      names in a session change through this mount alone: entries, missing
 *                             ones too, stay valid. Not so in templates/ and sessions/, where a
 *                             build may add one at any time, and for names, which move.
 *     GETATTR       rarely    for the same reason; with allow_other CREATE and UNLINK make the
 *                             directory's stale, since the kernel checks its mode
 *     READ          once      keep_cache: pages of templates and sessions stay over close and open;
 *                             what nearly every session reads is stored in the page cache when
 *                             its file is first opened (prefetch.h), which also saves the GETATTR that
 *                             stat(2) sends after a READ, for the access time
 *     WRITE         late      writeback, unless strict: pages gather, and a rewritten one is sent
 *                             once; mtime and size are then the kernel's, flushed by SETATTR
 *     WRITE, direct in turn   io_submit(2) and io_uring wait for one another: see handle_init()
 *     FORGET        late      gathered, with io_uring: see let_forgets_gather()
 *     OPEN, RELEASE always    without OPEN nobody knows what is in use, forged bytes get into the
 *                             pages of templates, and O_TRUNC is lost
 *
 * io_uring, where kernel and library offer it, makes each request that remains some eight times
 * cheaper on a virtual machine.
 */
#include "fs/mount/policy.h"

#include "fs/base/cleanup.h"
#include "fs/mount/requests_attributes.h"
#include "fs/mount/requests_dirs.h"
#include "fs/mount/requests_files.h"
#include "fs/mount/requests_names.h"

#ifdef HAVE_FUSE_FEATURE_FLAGS
static bool want(struct fuse_conn_info *conn, uint64_t flag)
{
    return fuse_set_feature_flag(conn, flag);
}

static void refuse(struct fuse_conn_info *conn, uint64_t flag)
{
    fuse_unset_feature_flag(conn, flag);
}
#else
static bool want(struct fuse_conn_info *conn, unsigned flag)
{
    if (!(conn->capable & flag))
        return false;
    conn->want |= flag;
    return true;
}

static void refuse(struct fuse_conn_info *conn, unsigned flag)
{
    conn->want &= ~flag;
}
#endif

static void handle_init(void *context, struct fuse_conn_info *conn)
{
    struct server *server = context;
    conn->time_gran = 1;
    conn->max_readahead = UINT32_MAX; /* the kernel cuts it to what it can */
    (void)want(conn, FUSE_CAP_ASYNC_READ);
    (void)want(conn, FUSE_CAP_PARALLEL_DIROPS);
    (void)want(conn, FUSE_CAP_CACHE_SYMLINKS);
    (void)want(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
    server->writeback = !server->options->strict && want(conn, FUSE_CAP_WRITEBACK_CACHE);
    /* Nothing but the kernel changes a session's bytes. */
    refuse(conn, FUSE_CAP_AUTO_INVAL_DATA);
    /* A truncation is a SETATTR of its own, also at open(2). */
    refuse(conn, FUSE_CAP_ATOMIC_O_TRUNC);
    /* When an asynchronous O_DIRECT write ends, the kernel leaves what it had cached of the file, and
     * buffered readers see the old bytes. Written synchronously, what is cached is dropped. */
    refuse(conn, FUSE_CAP_ASYNC_DIO);
    refuse(conn, FUSE_CAP_POSIX_LOCKS);
    refuse(conn, FUSE_CAP_FLOCK_LOCKS);
    /* Whoever lists a directory rarely looks at each file; attributes would cost more. */
    refuse(conn, FUSE_CAP_READDIRPLUS);
    refuse(conn, FUSE_CAP_READDIRPLUS_AUTO);
    (void)pthread_mutex_lock(&server->mutex);
    server->ready = true;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
}

static void refuse_opendir(fuse_req_t req, fuse_ino_t id UNUSED, struct fuse_file_info *info UNUSED)
{
    (void)server_count(req, REQUEST_OPENDIR);
    fuse_reply_err(req, ENOSYS);
}

const struct fuse_lowlevel_ops server_operations = {
    .init = handle_init,
    .lookup = handle_lookup,
    .forget = handle_forget,
    .forget_multi = handle_forget_multi,
    .getattr = handle_getattr,
    .setattr = handle_setattr,
    .access = handle_access,
    .readlink = handle_readlink,
    .mknod = handle_mknod,
    .mkdir = handle_mkdir,
    .symlink = handle_symlink,
    .unlink = handle_unlink,
    .rmdir = handle_rmdir,
    .rename = handle_rename,
    .link = handle_link,
    .setxattr = handle_setxattr,
    .opendir = refuse_opendir,
    .readdir = handle_readdir,
    .statfs = handle_statfs,
    .open = handle_open,
    .create = handle_create,
#ifdef HAVE_FUSE_TMPFILE
    .tmpfile = handle_tmpfile,
#endif
    .read = handle_read,
    .write = handle_write,
    .release = handle_release,
    .fallocate = handle_fallocate,
};
