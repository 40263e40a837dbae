#include "fs/overlay/attributes.h"

#include "fs/base/clock.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/extents.h"
#include "fs/overlay/file_store.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/session_log.h"

static void stat_held(const struct node *node, struct stat *ret_status)
{
    *ret_status = (struct stat){
        .st_ino = node_ino(node),
        .st_mode = node->mode,
        .st_nlink = node->nlink,
        .st_uid = node->uid,
        .st_gid = node->gid,
        .st_rdev = node->rdev,
        .st_size = node_is_directory(node) ? BLOCK_SIZE_BYTES : (off_t)node->size_bytes,
        .st_blksize = BLOCK_SIZE_BYTES,
        .st_atim = clock_to_timespec(node->atime_ns),
        .st_mtim = clock_to_timespec(node->mtime_ns),
        .st_ctim = clock_to_timespec(node->ctime_ns),
    };
    if (S_ISREG(node->type)) {
        /* In units of 512 bytes: the stored blocks or the template's, whichever are more. */
        uint64_t lower_blocks = (node->lower_limit_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
        uint64_t blocks = lower_blocks > node->stored_blocks ? lower_blocks : node->stored_blocks;
        ret_status->st_blocks = (blkcnt_t)(blocks * (BLOCK_SIZE_BYTES / 512));
    }
}

void node_stat(struct node *node, struct stat *ret_status)
{
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_read(&node->lock);
    stat_held(node, ret_status);
}

/* Applies the changes to the record. */
static void apply_to_record(struct node_record *record, const struct stat *to, unsigned which)
{
    record->ctime_ns = clock_real_coarse_ns();
    if (which & NODE_SET_MODE)
        record->mode = (record->mode & S_IFMT) | (to->st_mode & 07777);
    if (which & NODE_SET_UID)
        record->uid = to->st_uid;
    if (which & NODE_SET_GID)
        record->gid = to->st_gid;
    if (which & NODE_SET_SIZE) {
        record->size_bytes = (uint64_t)to->st_size;
        if (record->lower_limit_bytes > record->size_bytes)
            record->lower_limit_bytes = record->size_bytes;
        record->mtime_ns = record->ctime_ns;
    }
    if (which & NODE_SET_ATIME)
        record->atime_ns = clock_from_timespec(&to->st_atim);
    if (which & NODE_SET_MTIME)
        record->mtime_ns = clock_from_timespec(&to->st_mtim);
    if (which & NODE_SET_CTIME)
        record->ctime_ns = clock_from_timespec(&to->st_ctim);
}

static int set_held(struct node *node, const struct stat *to, unsigned which)
{
    struct node_record record;
    node_fill_record(node, &record);
    apply_to_record(&record, to, which);
    if (which & NODE_SET_SIZE) {
        if (!S_ISREG(node->type))
            return S_ISDIR(node->type) ? -EISDIR : -EINVAL;
        if (to->st_size < 0 || record.size_bytes > FILE_SIZE_LIMIT_BYTES)
            return -EFBIG;
        int r = file_zero_tail(node, record.size_bytes);
        if (r < 0)
            return r;
    }
    if (node->logged) {
        AUTO_FRAME struct frame frame;
        frame_init(&frame);
        frame.frees = which & NODE_SET_SIZE;
        frame_add_node(&frame, &record, S_ISLNK(node->type) ? node->target : NULL);
        int r = session_record(node->session, &frame);
        if (r < 0)
            return r;
        node->recorded_mtime_ns = record.mtime_ns;
    }
    node->changed = true;
    node->mode = record.mode;
    node->uid = record.uid;
    node->gid = record.gid;
    node->atime_ns = record.atime_ns;
    node->mtime_ns = record.mtime_ns;
    node->ctime_ns = record.ctime_ns;
    if (which & NODE_SET_SIZE)
        extents_set_size(node, record.size_bytes, record.lower_limit_bytes);
    return 0;
}

int node_set(struct node *node, const struct stat *to, unsigned which)
{
    node_begin_change(node);
    int r = set_held(node, to, which);
    node_end_change(node);
    return r;
}
