/*
 * Which requests the kernel sends, which it never sends, and why. All these choices are made here.
 *
 *     request       sent?     because
 *     ACCESS        rarely    only for access(2) and chdir(2); SQLite looks for journals by stat(2)
 *     FLUSH         never     ENOSYS: close(2) writes dirty pages back without it
 *     FSYNC,        never     ENOSYS: fsync(2) still writes dirty pages to the daemon and reports
 *      FSYNCDIR               errors; the daemon's data is in the page cache and outlives it
 *     GETXATTR etc. never     no handler; SETXATTR sets a session's lease (leases.h)
 *     OPENDIR       never     ENOSYS: SQLite opens a directory in each transaction, to sync it
 *     SETLK, FLOCK  never     the capabilities are off: the kernel keeps locks, right for one host
 *     IOCTL, POLL,  never     no handler
 *      BMAP, COPY_FILE_RANGE  (a copy then goes through the page cache)
 *     LSEEK         never     no handler: for SEEK_DATA the kernel then treats the whole file as
 *                             data. The daemon does not know which pages the kernel still holds
 *                             (WRITE); if it reported a hole there, a program that copies the file
 *                             would lose them. It cannot ask for them either: a request that waits
 *                             for others can stall its io_uring queue
 *     LOOKUP        once      names in a session change only through this mount: entries, also
 *                             negative ones, stay valid. This is not true in templates/ and
 *                             sessions/, where a build may add an entry at any time, and for
 *                             names, which may refer to another key later
 *     GETATTR       rarely    for the same reason; with allow_other CREATE and UNLINK make the
 *                             directory's attributes stale, since the kernel checks its mode
 *     READ          once      keep_cache: pages of templates and sessions stay cached over close
 *                             and open; what nearly every session reads is stored in the page
 *                             cache when its file is first opened (prefetch.h), which also saves
 *                             the GETATTR that stat(2) sends after a READ, for the access time
 *     WRITE         late      writeback, unless strict: pages gather, and one that is written
 *                             repeatedly is sent once; the kernel keeps mtime and size, and flushes
 *                             them by SETATTR
 *     WRITE, direct in turn   io_submit(2) and io_uring wait for one another: see handle_init()
 *     FORGET        late      gathered, with io_uring: see let_forgets_gather()
 *     OPEN, RELEASE always    without OPEN the daemon would not know which files are in use, forged
 *                             bytes could enter the pages of templates, and O_TRUNC would be lost
 *
 * io_uring, if kernel and library support it, makes each remaining request about eight times
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
    conn->max_readahead = UINT32_MAX; /* the kernel reduces it to its own maximum */
    (void)want(conn, FUSE_CAP_ASYNC_READ);
    (void)want(conn, FUSE_CAP_PARALLEL_DIROPS);
    (void)want(conn, FUSE_CAP_CACHE_SYMLINKS);
    (void)want(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
    server->writeback = !server->options->strict && want(conn, FUSE_CAP_WRITEBACK_CACHE);
    /* A session's bytes change only through the kernel. */
    refuse(conn, FUSE_CAP_AUTO_INVAL_DATA);
    /* A truncation is a SETATTR of its own, also at open(2). */
    refuse(conn, FUSE_CAP_ATOMIC_O_TRUNC);
    /*
     * After an asynchronous O_DIRECT write the kernel keeps the pages that it had cached of the
     * file, and buffered readers see the old bytes. After a synchronous one it drops them.
     */
    refuse(conn, FUSE_CAP_ASYNC_DIO);
    refuse(conn, FUSE_CAP_POSIX_LOCKS);
    refuse(conn, FUSE_CAP_FLOCK_LOCKS);
    /* Programs that list a directory rarely stat each file: all attributes would cost more. */
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
