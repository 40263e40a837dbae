#include "fs/overlay/file_io.h"

#include "fs/overlay/compact.h"
#include "fs/overlay/file_content.h"
#include "fs/overlay/file_store.h"
#include "fs/overlay/session_use.h"

ssize_t file_read(struct node *node, void *buffer, size_t size, uint64_t offset)
{
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_read(&node->lock);
    size_t available = 0;
    if (offset < node->size_bytes)
        available = (size_t)min_u64(size, node->size_bytes - offset);
    int r = file_read_range(node, buffer, available, offset);
    if (node->lower_fd >= 0 && available > 0)
        prefetch_note(lower_file_prefetch(node->session->lower, node->entry), block_of(offset),
                      block_of(block_round_up(offset + available)) - block_of(offset));
    return r < 0 ? r : (ssize_t)available;
}

int file_write(struct node *node, const void *buffer, size_t size, uint64_t offset)
{
    if (size == 0)
        return 0;
    if (offset > FILE_SIZE_LIMIT_BYTES || size > FILE_SIZE_LIMIT_BYTES - offset)
        return -EFBIG;
    node_begin_change(node);
    int r = file_store_range(node, buffer, offset, offset + size, offset + size);
    if (r == -ENOSPC && blocks_make_room(node->session->blocks))
        r = file_store_range(node, buffer, offset, offset + size, offset + size);
    node_end_change(node);
    return r;
}

static void warm_up(struct node *node, file_warmer *warm, void *context)
{
    enum { PIECE_BLOCKS = 16 };
    char bytes[PIECE_BLOCKS * BLOCK_SIZE_BYTES];
    fileblock_t blocks[PREFETCH_BLOCKS_MAX];
    size_t count = prefetch_pick(lower_file_prefetch(node->session->lower, node->entry), blocks);
    size_t next;
    for (size_t i = 0; i < count; i = next) {
        for (next = i + 1; next < count && blocks[next] == blocks[next - 1] + 1; next++)
            if (next - i == PIECE_BLOCKS)
                break;
        uint64_t offset = (uint64_t)blocks[i] * BLOCK_SIZE_BYTES;
        if (offset >= node->size_bytes)
            return;
        size_t size = (size_t)min_u64((next - i) * BLOCK_SIZE_BYTES, node->size_bytes - offset);
        if (file_read_range(node, bytes, size, offset) < 0)
            return; /* the program that reads it gets the error */
        warm(offset, bytes, size, context);
    }
}

int file_open(struct node *node)
{
    return file_open_warm(node, NULL, NULL);
}

int file_open_warm(struct node *node, file_warmer *warm, void *context)
{
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_write(&node->lock);
    if (node->opens == 0 && node->entry != LOWER_NONE && node->lower_limit_bytes > 0) {
        int r = lower_file_acquire(node->session->lower, node->entry, &node->lower_fd);
        if (r < 0)
            return r;
    }
    if (warm && node->lower_fd >= 0 && !node->opened && !node->changed)
        warm_up(node, warm, context);
    session_touch(node->session);
    node->opened = true;
    node->opens++;
    atomic_fetch_add(&node->session->open_files, 1);
    return 0;
}

void file_close(struct node *node)
{
    AUTO_RWUNLOCK pthread_rwlock_t *changes = rwlock_hold_read(&node->session->changes);
    AUTO_RWUNLOCK pthread_rwlock_t *lock = rwlock_hold_write(&node->lock);
    session_touch(node->session);
    node->opens--;
    if (node->opens == 0)
        file_record_time(node, 0);
    if (atomic_fetch_sub(&node->session->open_files, 1) == 1)
        changelog_rest(node->session->log);
    if (node->opens == 0 && node->lower_fd >= 0) {
        lower_file_release(node->session->lower, node->entry);
        node->lower_fd = -1;
    }
}
