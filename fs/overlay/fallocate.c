#include "fs/overlay/fallocate.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include "fs/base/clock.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/extents.h"
#include "fs/overlay/file_store.h"
#include "fs/overlay/session_log.h"

/* Makes whole blocks read as zeros. This is recorded before their storage is released. */
static int drop_blocks(struct node *node, fileblock_t first, fileblock_t end)
{
    if (first >= end)
        return 0;
    /* Above lower_limit absent blocks already show zeros. */
    fileblock_t lower_end = block_of(block_round_up(node->lower_limit_bytes));
    fileblock_t zero_end = lower_end < first ? first : lower_end < end ? lower_end : end;
    int r = 0;
    if (zero_end > first)
        r = blockmap_reserve(&node->map, first, zero_end - first);
    if (r < 0)
        return r;
    struct extent_record record = {.node = node->number,
                                   .at = first,
                                   .count = zero_end - first,
                                   .block = BLOCK_ZERO,
                                   .size_bytes = node->size_bytes,
                                   .mtime_ns = clock_real_coarse_ns()};
    if (node->logged) {
        AUTO_FRAME struct frame frame;
        frame_init(&frame);
        frame.frees = true;
        if (record.count)
            frame_add_extent(&frame, &record);
        record.at = zero_end;
        record.count = end - zero_end;
        record.block = BLOCK_ABSENT;
        frame_add_extent(&frame, &record);
        r = session_record(node->session, &frame);
        if (r < 0)
            return r;
        node->recorded_mtime_ns = record.mtime_ns;
    }
    for (fileblock_t at = first; at < end;) {
        block_t block;
        uint32_t run = blockmap_run(&node->map, at, end - at, &block);
        extents_release_run(at, run, block, node);
        at += run;
    }
    blockmap_set(&node->map, first, zero_end - first, BLOCK_ZERO);
    blockmap_set(&node->map, zero_end, end - zero_end, BLOCK_ABSENT);
    node->mtime_ns = node->ctime_ns = record.mtime_ns;
    node->changed = true;
    return 0;
}

/* Zeroes a part of one block, unless the block already shows zeros. */
static int zero_part(struct node *node, uint64_t offset, uint64_t end)
{
    static const char zeros[BLOCK_SIZE_BYTES];
    block_t block = blockmap_get(&node->map, block_of(offset));
    if (offset >= end || block == BLOCK_ZERO ||
        (block == BLOCK_ABSENT && offset >= node->lower_limit_bytes))
        return 0;
    return file_store_range(node, zeros, offset, end, 0);
}

static int zero_range(struct node *node, uint64_t offset, uint64_t end)
{
    end = min_u64(end, block_round_up(node->size_bytes));
    if (offset >= end)
        return 0;
    uint64_t first_whole = block_round_up(offset);
    uint64_t last_whole = end / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
    int r = zero_part(node, offset, min_u64(first_whole, end));
    if (r == 0 && last_whole >= first_whole)
        r = zero_part(node, last_whole, end);
    if (r == 0 && last_whole > first_whole)
        r = drop_blocks(node, block_of(first_whole), block_of(last_whole));
    return r;
}

/*
 * Stores the blocks that have no storage yet, piece by piece, so that later writes cannot run out
 * of space.
 */
static int store_range(struct node *node, uint64_t offset, uint64_t end, bool grow)
{
    enum { PIECE_BYTES = 1 << 20 };
    while (offset < end) {
        uint64_t stop = min_u64(end, offset / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES);
        int r = file_store_range(node, NULL, offset, stop, grow ? stop : 0);
        if (r < 0)
            return r;
        offset = stop;
    }
    return 0;
}

static int allocate_held(struct node *node, int mode, uint64_t offset, uint64_t end)
{
    bool grow = !(mode & FALLOC_FL_KEEP_SIZE);
    int r;
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
        return store_range(node, offset, end, grow);
    case FALLOC_FL_PUNCH_HOLE:
        return grow ? -EOPNOTSUPP : zero_range(node, offset, end);
    case FALLOC_FL_ZERO_RANGE:
        r = zero_range(node, offset, end);
        return r < 0 || !grow || end <= node->size_bytes ? r : file_grow(node, end);
    default:
        return -EOPNOTSUPP;
    }
}

int file_allocate(struct node *node, int mode, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return -EINVAL;
    if (offset > FILE_SIZE_LIMIT_BYTES || length > FILE_SIZE_LIMIT_BYTES - offset)
        return -EFBIG;
    node_begin_change(node);
    int r = allocate_held(node, mode, offset, offset + length);
    node_end_change(node);
    return r;
}
