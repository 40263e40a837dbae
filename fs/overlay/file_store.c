#include "fs/overlay/file_store.h"

#include <string.h>

#include "fs/base/clock.h"
#include "fs/overlay/extents.h"
#include "fs/overlay/file_content.h"
#include "fs/overlay/session_log.h"

/* Overwriting in place records only its time, at most this often. */
enum { TIME_TOLERANCE_NS = 1000 * 1000 * 1000 };

/* Blocks that a change has taken. All of them become part of the file, or all are released. */
struct taken_run {
    fileblock_t at;
    uint32_t count;
    block_t block;
};

struct change {
    struct node *node;
    const char *bytes; /* the new bytes, or NULL: blocks are only copied */
    uint64_t offset;
    uint64_t end;
    struct taken_run *runs;
    size_t run_count;
    size_t run_room;
    struct taken_run few[4];
};

static int change_add_run(struct change *change, struct taken_run run)
{
    if (change->run_count == change->run_room) {
        size_t room = change->run_room * 2;
        struct taken_run *runs = malloc(room * sizeof(*runs));
        if (!runs)
            return -ENOMEM;
        memcpy(runs, change->runs, change->run_count * sizeof(*runs));
        if (change->runs != change->few)
            free(change->runs);
        change->runs = runs;
        change->run_room = room;
    }
    change->runs[change->run_count++] = run;
    return 0;
}

static void release_all(const struct change *change)
{
    for (size_t i = 0; i < change->run_count; i++)
        extents_release(change->node, change->runs[i].block, change->runs[i].count);
}

/*
 * Fills one fresh block of which the change covers a part: the rest is copied from what the file
 * shows.
 */
static int write_partial(const struct change *change, fileblock_t at, block_t block)
{
    char whole[BLOCK_SIZE_BYTES];
    uint64_t start = (uint64_t)at * BLOCK_SIZE_BYTES;
    int r = file_read_range(change->node, whole, sizeof(whole), start);
    if (r < 0)
        return r;
    if (change->bytes && change->offset < change->end) {
        uint64_t from = change->offset > start ? change->offset : start;
        uint64_t to = min_u64(change->end, start + BLOCK_SIZE_BYTES);
        memcpy(whole + (from - start), change->bytes + (from - change->offset), to - from);
    }
    struct block_tag tag = extents_tag(change->node, at);
    return blocks_write_fresh(change->node->session->blocks, block, 1, &tag, whole);
}

/* Fills a run of fresh blocks; whole ones are written directly from the caller's bytes. */
static int write_fresh(const struct change *change, const struct taken_run *run)
{
    for (uint32_t i = 0; i < run->count;) {
        uint64_t start = (uint64_t)(run->at + i) * BLOCK_SIZE_BYTES;
        uint32_t whole = 0;
        if (change->bytes && change->offset <= start && change->end > start)
            whole = (uint32_t)min_u64(run->count - i, (change->end - start) / BLOCK_SIZE_BYTES);
        struct block_tag tag = extents_tag(change->node, run->at + i);
        int r;
        if (whole)
            r = blocks_write_fresh(change->node->session->blocks, run->block + i, whole, &tag,
                                   change->bytes + (start - change->offset));
        else
            r = write_partial(change, run->at + i, run->block + i);
        if (r < 0)
            return r;
        i += whole ? whole : 1;
    }
    return 0;
}

/* Stores `count` blocks that have no storage yet. */
static int store_missing(struct change *change, fileblock_t at, uint32_t count)
{
    while (count > 0) {
        struct taken_run run = {.at = at};
        int taken = extents_take(change->node, count, &run.block);
        if (taken < 0)
            return taken;
        run.count = (uint32_t)taken;
        int r = change_add_run(change, run);
        if (r < 0) {
            extents_release(change->node, run.block, run.count);
            return r;
        }
        r = write_fresh(change, &run);
        if (r < 0)
            return r;
        at += run.count;
        count -= run.count;
    }
    return 0;
}

static int store_all_missing(struct change *change)
{
    fileblock_t end = block_of(block_round_up(change->end));
    for (fileblock_t at = block_of(change->offset); at < end;) {
        block_t block;
        uint32_t run = blockmap_run(&change->node->map, at, end - at, &block);
        int r = block >= BLOCK_LIMIT ? store_missing(change, at, run) : 0;
        if (r < 0)
            return r;
        at += run;
    }
    return 0;
}

/* Writes `bytes`, or zeros, to those blocks in [from, end) that already have storage. */
static int write_stored(struct node *node, const char *bytes, uint64_t from, uint64_t end)
{
    static const char zeros[16 * BLOCK_SIZE_BYTES];
    while (from < end) {
        block_t block;
        fileblock_t at = block_of(from);
        uint32_t run = blockmap_run(&node->map, at, block_of(block_round_up(end)) - at, &block);
        uint64_t to = min_u64(end, (uint64_t)(at + run) * BLOCK_SIZE_BYTES);
        if (!bytes && block < BLOCK_LIMIT)
            to = min_u64(to, from + sizeof(zeros));
        struct block_tag tag = extents_tag(node, at);
        int r = 0;
        if (block < BLOCK_LIMIT)
            r = blocks_write(node->session->blocks, block, (uint32_t)(from % BLOCK_SIZE_BYTES),
                             &tag, bytes ? bytes : zeros, to - from);
        if (r < 0)
            return file_log_damage(node, r);
        bytes = bytes ? bytes + (to - from) : NULL;
        from = to;
    }
    return 0;
}

/* Of the change's bytes in stored blocks, writes those past the file's end, or those before it. */
static int write_in_place(const struct change *change, bool past_end)
{
    uint64_t size = change->node->size_bytes;
    uint64_t from = past_end && change->offset < size ? size : change->offset;
    uint64_t end = past_end ? change->end : min_u64(change->end, size);
    if (!change->bytes || from >= end)
        return 0;
    return write_stored(change->node, change->bytes + (from - change->offset), from, end);
}

void file_record_time(struct node *node, int64_t tolerance_ns)
{
    int64_t error_ns = node->mtime_ns - node->recorded_mtime_ns;
    if (!node->logged || !node->changed || (error_ns >= -tolerance_ns && error_ns <= tolerance_ns))
        return;
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    frame_add_extent(&frame, &(struct extent_record){.node = node->number,
                                                     .size_bytes = node->size_bytes,
                                                     .mtime_ns = node->mtime_ns});
    if (session_record(node->session, &frame) == 0)
        node->recorded_mtime_ns = node->mtime_ns;
}

/* Records the blocks that were taken, and the size. */
static int record_change(const struct change *change, uint64_t size_bytes, int64_t now_ns)
{
    struct node *node = change->node;
    if (!node->logged || (!change->run_count && size_bytes == node->size_bytes))
        return 0;
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    struct extent_record record = {
        .node = node->number, .size_bytes = size_bytes, .mtime_ns = now_ns};
    for (size_t i = 0; i < change->run_count; i++) {
        record.at = change->runs[i].at;
        record.count = change->runs[i].count;
        record.block = change->runs[i].block;
        frame_add_extent(&frame, &record);
    }
    if (!change->run_count)
        frame_add_extent(&frame, &record);
    int r = session_record(node->session, &frame);
    if (r == 0)
        node->recorded_mtime_ns = now_ns;
    return r;
}

/*
 * Records the change and makes it visible; the file then has size_bytes. Blocks that were taken are
 * written by now. In stored blocks, bytes past the file's end are written before the record, and
 * bytes that are already visible after it, when a lack of space can no longer make the change fail.
 */
static int commit(struct change *change, uint64_t size_bytes)
{
    struct node *node = change->node;
    int64_t now = clock_real_coarse_ns();
    int r = write_in_place(change, true);
    if (r == 0)
        r = record_change(change, size_bytes, now);
    if (r < 0) {
        release_all(change);
        return r;
    }
    r = write_in_place(change, false);
    for (size_t i = 0; i < change->run_count; i++) {
        const struct taken_run *run = &change->runs[i];
        blockmap_set(&node->map, run->at, run->count, run->block);
        node->stored_blocks += run->count;
    }
    node->size_bytes = size_bytes;
    node->mtime_ns = node->ctime_ns = now;
    node->changed = true;
    file_record_time(node, TIME_TOLERANCE_NS);
    return r;
}

int file_store_range(struct node *node, const char *bytes, uint64_t offset, uint64_t end,
                     uint64_t size_bytes)
{
    struct change change = {.node = node, .bytes = bytes, .offset = offset, .end = end};
    change.runs = change.few;
    change.run_room = ARRAY_LENGTH(change.few);
    if (size_bytes < node->size_bytes)
        size_bytes = node->size_bytes;
    fileblock_t first = block_of(offset);
    int r = blockmap_reserve(&node->map, first, block_of(block_round_up(end)) - first);
    if (r == 0)
        r = file_zero_tail(node, bytes && offset < size_bytes ? offset : size_bytes);
    if (r == 0)
        r = store_all_missing(&change);
    if (r == 0)
        r = commit(&change, size_bytes);
    else
        release_all(&change);
    if (change.runs != change.few)
        free(change.runs);
    return r;
}

int file_zero_tail(struct node *node, uint64_t new_size_bytes)
{
    return write_stored(node, NULL, node->size_bytes, new_size_bytes);
}

int file_grow(struct node *node, uint64_t size_bytes)
{
    struct change change = {.node = node};
    int r = file_zero_tail(node, size_bytes);
    return r < 0 ? r : commit(&change, size_bytes);
}
