/*
 * The bytes of one copy-on-write file.
 *
 *     state of a block          in the map       a read sees
 *     as in the template        BLOCK_ABSENT     template's bytes below base_limit, zeros above
 *     changed, or new           storage          storage
 *     hole over the template    BLOCK_ZERO       zeros
 *
 * base_limit is the template's size at first; a truncation lowers it and nothing raises it, so
 * that bytes cut off once never come back. A stored block is whole: 4 KiB, the bytes that a write
 * did not touch filled from what was there. Behind the end a stored block may hold anything; it is
 * zeroed when the file grows over it (file_zero_tail).
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/overlay/node.h"

/* Where SQLite's file header holds the write and read versions, 2 for WAL
 * (https://www.sqlite.org/fileformat.html, 1.3.3). */
enum { SQLITE_VERSIONS_OFFSET = 18, SQLITE_VERSIONS_SIZE = 2, SQLITE_VERSION_WAL = 2 };

static fileblock_t block_of(uint64_t offset)
{
    return (fileblock_t)(offset / BLOCK_SIZE_BYTES);
}

static uint64_t round_up(uint64_t offset)
{
    return (offset + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- reading ---- */

/* A template is sealed in rollback mode; its session begins in the mode that the builder left. */
static void show_journal_mode(const struct node *node, char *buffer, size_t size, uint64_t offset)
{
    if (!base_entry(node->session->base, node->base)->starts_in_wal)
        return;
    for (uint64_t i = SQLITE_VERSIONS_OFFSET; i < SQLITE_VERSIONS_OFFSET + SQLITE_VERSIONS_SIZE;
         i++)
        if (i >= offset && i < offset + size)
            buffer[i - offset] = SQLITE_VERSION_WAL;
}

/* What absent blocks show: the template's bytes below the limit, zeros above. */
static int read_base(struct node *node, char *buffer, size_t size, uint64_t offset)
{
    size_t lent = 0;
    if (offset < node->base_limit_bytes)
        lent = (size_t)min_u64(size, node->base_limit_bytes - offset);
    memset(buffer + lent, 0, size - lent);
    if (!lent)
        return 0;
    int fd = node->base_fd;
    if (fd < 0) {
        int r = base_file_acquire(node->session->base, node->base, &fd);
        if (r < 0)
            return r;
    }
    int r = io_pread_exact(fd, buffer, lent, (off_t)offset);
    if (node->base_fd < 0)
        base_file_release(node->session->base, node->base);
    if (r == 0)
        show_journal_mode(node, buffer, lent, offset);
    return r;
}

/* All of it must lie below the size limit; bytes behind the file's end read as whatever is there.
 */
static int read_range(struct node *node, char *buffer, size_t size, uint64_t offset)
{
    while (size > 0) {
        fileblock_t at = block_of(offset);
        uint32_t within = (uint32_t)(offset % BLOCK_SIZE_BYTES);
        uint32_t blocks = (uint32_t)(round_up(within + size) / BLOCK_SIZE_BYTES);
        block_t block;
        uint32_t run = blockmap_run(&node->map, at, blocks, &block);
        size_t part = (size_t)min_u64(size, (uint64_t)run * BLOCK_SIZE_BYTES - within);
        int r = 0;
        if (block == BLOCK_ABSENT)
            r = read_base(node, buffer, part, offset);
        else if (block == BLOCK_ZERO)
            memset(buffer, 0, part);
        else
            r = blocks_read(node->session->blocks, block, within, buffer, part);
        if (r < 0)
            return r;
        buffer += part;
        size -= part;
        offset += part;
    }
    return 0;
}

ssize_t file_read(struct node *node, void *buffer, size_t size, uint64_t offset)
{
    (void)pthread_rwlock_rdlock(&node->lock);
    size_t there = 0;
    if (offset < node->size_bytes)
        there = (size_t)min_u64(size, node->size_bytes - offset);
    int r = read_range(node, buffer, there, offset);
    (void)pthread_rwlock_unlock(&node->lock);
    return r < 0 ? r : (ssize_t)there;
}

/* ---- writing ---- */

/* Blocks that a change has taken, to be shown all together or given back. */
struct taken_run {
    fileblock_t at;
    uint32_t count;
    block_t block;
};

struct change {
    struct node *node;
    const char *bytes; /* what is written, or NULL: blocks are only copied */
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

/* Counts up to `want` more within a limit (0: none), and says how many. */
static uint32_t charge(atomic_uint_least64_t *stored, uint64_t limit, uint32_t want)
{
    uint64_t before = atomic_load(stored);
    uint32_t granted;
    do {
        uint64_t left = limit > before ? limit - before : 0;
        granted = limit ? (uint32_t)min_u64(want, left) : want;
    } while (!atomic_compare_exchange_weak(stored, &before, before + granted));
    return granted;
}

/* Takes blocks within the session's limit and that of all. */
static int take_blocks(struct node *node, uint32_t want, block_t *ret_first)
{
    struct session *session = node->session;
    struct session_list *list = session->list;
    if (node->unlimited)
        return blocks_take(session->blocks, want, ret_first);
    uint32_t granted = charge(&session->stored_blocks, session->limit_blocks, want);
    /* Not -EDQUOT: SQLite calls that an I/O error, and only this a full disk. */
    if (granted == 0)
        return -ENOSPC;
    uint32_t granted_by_all = charge(&list->stored_blocks, list->limit_blocks, granted);
    int count = granted_by_all ? blocks_take(session->blocks, granted_by_all, ret_first) : -ENOSPC;
    uint32_t taken = count > 0 ? (uint32_t)count : 0;
    atomic_fetch_sub(&list->stored_blocks, granted_by_all - taken);
    atomic_fetch_sub(&session->stored_blocks, granted - taken);
    return count;
}

static void give_back(struct node *node, block_t first, uint32_t count)
{
    blocks_release(node->session->blocks, first, count);
    if (node->unlimited)
        return;
    atomic_fetch_sub(&node->session->stored_blocks, count);
    atomic_fetch_sub(&node->session->list->stored_blocks, count);
}

/* One fresh block, of which the change covers a part: the rest is what the file shows there. */
static int write_partial(const struct change *change, fileblock_t at, block_t block)
{
    char whole[BLOCK_SIZE_BYTES];
    uint64_t start = (uint64_t)at * BLOCK_SIZE_BYTES;
    int r = read_range(change->node, whole, sizeof(whole), start);
    if (r < 0)
        return r;
    if (change->bytes && change->offset < change->end) {
        uint64_t from = change->offset > start ? change->offset : start;
        uint64_t to = min_u64(change->end, start + BLOCK_SIZE_BYTES);
        memcpy(whole + (from - start), change->bytes + (from - change->offset), to - from);
    }
    return blocks_write(change->node->session->blocks, block, 0, whole, sizeof(whole));
}

/* Fills a run of fresh blocks: whole ones straight from the caller's bytes. */
static int write_fresh(const struct change *change, const struct taken_run *run)
{
    for (uint32_t i = 0; i < run->count;) {
        uint64_t start = (uint64_t)(run->at + i) * BLOCK_SIZE_BYTES;
        uint32_t whole = 0;
        if (change->bytes && change->offset <= start && change->end > start)
            whole = (uint32_t)min_u64(run->count - i, (change->end - start) / BLOCK_SIZE_BYTES);
        int r;
        if (whole)
            r = blocks_write(change->node->session->blocks, run->block + i, 0,
                             change->bytes + (start - change->offset),
                             (size_t)whole * BLOCK_SIZE_BYTES);
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
        int taken = take_blocks(change->node, count, &run.block);
        if (taken < 0)
            return taken;
        run.count = (uint32_t)taken;
        int r = change_add_run(change, run);
        if (r < 0) {
            give_back(change->node, run.block, run.count);
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

/* Writes fresh blocks, then those that are stored already, in place. */
static int write_blocks(struct change *change)
{
    struct node *node = change->node;
    fileblock_t first = block_of(change->offset);
    fileblock_t end = block_of(round_up(change->end));
    for (int in_place = 0; in_place < 2; in_place++) {
        for (fileblock_t at = first; at < end;) {
            block_t block;
            uint32_t run = blockmap_run(&node->map, at, end - at, &block);
            int r = 0;
            if (block >= BLOCK_LIMIT && !in_place) {
                r = store_missing(change, at, run);
            } else if (block < BLOCK_LIMIT && in_place && change->bytes) {
                uint64_t start = (uint64_t)at * BLOCK_SIZE_BYTES;
                uint64_t from = change->offset > start ? change->offset : start;
                uint64_t to = min_u64(change->end, start + (uint64_t)run * BLOCK_SIZE_BYTES);
                r = blocks_write(node->session->blocks, block, (uint32_t)(from - start),
                                 change->bytes + (from - change->offset), to - from);
            }
            if (r < 0)
                return r;
            at += run;
        }
    }
    return 0;
}

/* Records what was taken and shows it; the file has then at least size_bytes. */
static int commit(struct change *change, uint64_t size_bytes)
{
    struct node *node = change->node;
    int64_t now = node_now_ns();
    if (node->logged && (change->run_count || size_bytes != node->size_bytes)) {
        AUTO_FRAME struct frame frame;
        frame_init(&frame);
        struct extent_record record = {
            .node = node->number, .size_bytes = size_bytes, .mtime_ns = now};
        for (size_t i = 0; i < change->run_count; i++) {
            record.at = change->runs[i].at;
            record.count = change->runs[i].count;
            record.block = change->runs[i].block;
            frame_add_extent(&frame, &record);
        }
        if (!change->run_count)
            frame_add_extent(&frame, &record);
        int r = session_record(node->session, &frame);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < change->run_count; i++) {
        const struct taken_run *run = &change->runs[i];
        blockmap_set(&node->map, run->at, run->count, run->block);
        node->stored_blocks += run->count;
    }
    node->size_bytes = size_bytes;
    node->mtime_ns = node->ctime_ns = now;
    node->changed = true;
    return 0;
}

/* Stores [offset, end), with these bytes or as it is; the size becomes at least size_bytes. */
static int change_range(struct node *node, const char *bytes, uint64_t offset, uint64_t end,
                        uint64_t size_bytes)
{
    struct change change = {.node = node, .bytes = bytes, .offset = offset, .end = end};
    change.runs = change.few;
    change.run_room = ARRAY_LENGTH(change.few);
    if (size_bytes < node->size_bytes)
        size_bytes = node->size_bytes;
    fileblock_t first = block_of(offset);
    int r = blockmap_reserve(&node->map, first, block_of(round_up(end)) - first);
    if (r == 0)
        r = file_zero_tail(node, bytes && offset < size_bytes ? offset : size_bytes);
    if (r == 0)
        r = write_blocks(&change);
    if (r == 0)
        r = commit(&change, size_bytes);
    if (r < 0)
        for (size_t i = 0; i < change.run_count; i++)
            give_back(node, change.runs[i].block, change.runs[i].count);
    if (change.runs != change.few)
        free(change.runs);
    return r;
}

int file_write(struct node *node, const void *buffer, size_t size, uint64_t offset)
{
    if (size == 0)
        return 0;
    if (offset > FILE_SIZE_LIMIT_BYTES || size > FILE_SIZE_LIMIT_BYTES - offset)
        return -EFBIG;
    struct session *session = node->session;
    (void)pthread_rwlock_rdlock(&session->changes);
    (void)pthread_rwlock_wrlock(&node->lock);
    int r = change_range(node, buffer, offset, offset + size, offset + size);
    if (r == -ENOSPC && blocks_make_room(session->blocks))
        r = change_range(node, buffer, offset, offset + size, offset + size);
    (void)pthread_rwlock_unlock(&node->lock);
    (void)pthread_rwlock_unlock(&session->changes);
    session_after_change(session);
    return r;
}

/* ---- size ---- */

int file_zero_tail(struct node *node, uint64_t new_size_bytes)
{
    static const char zeros[BLOCK_SIZE_BYTES];
    uint32_t within = (uint32_t)(node->size_bytes % BLOCK_SIZE_BYTES);
    if (new_size_bytes <= node->size_bytes || within == 0)
        return 0;
    block_t block = blockmap_get(&node->map, block_of(node->size_bytes));
    if (block >= BLOCK_LIMIT)
        return 0;
    return blocks_write(node->session->blocks, block, within, zeros, BLOCK_SIZE_BYTES - within);
}

static void release_run(fileblock_t at UNUSED, uint32_t count, block_t block, void *context)
{
    struct node *node = context;
    if (block >= BLOCK_LIMIT)
        return;
    give_back(node, block, count);
    node->stored_blocks -= count;
}

void file_apply_size(struct node *node, uint64_t size_bytes, uint64_t base_limit_bytes)
{
    bool shorter = size_bytes < node->size_bytes;
    node->size_bytes = size_bytes;
    node->base_limit_bytes = base_limit_bytes;
    if (!shorter)
        return;
    if (size_bytes == 0) {
        file_release_all(node);
        return;
    }
    fileblock_t from = block_of(round_up(size_bytes));
    blockmap_each(&node->map, from, release_run, node);
    blockmap_cut(&node->map, from);
}

void file_release_all(struct node *node)
{
    blockmap_each(&node->map, 0, release_run, node);
    blockmap_free(&node->map);
}

/* ---- fallocate and lseek ---- */

/* Makes whole blocks read as zeros: recorded first, then given back. */
static int drop_blocks(struct node *node, fileblock_t first, fileblock_t end)
{
    if (first >= end)
        return 0;
    /* Above the limit absence shows zeros already. */
    fileblock_t lent_end = block_of(round_up(node->base_limit_bytes));
    fileblock_t zero_end = lent_end < first ? first : lent_end < end ? lent_end : end;
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
                                   .mtime_ns = node_now_ns()};
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
    }
    for (fileblock_t at = first; at < end;) {
        block_t block;
        uint32_t run = blockmap_run(&node->map, at, end - at, &block);
        release_run(at, run, block, node);
        at += run;
    }
    blockmap_set(&node->map, first, zero_end - first, BLOCK_ZERO);
    blockmap_set(&node->map, zero_end, end - zero_end, BLOCK_ABSENT);
    node->mtime_ns = node->ctime_ns = record.mtime_ns;
    node->changed = true;
    return 0;
}

/* Zeros a part of one block, if that block shows anything but zeros. */
static int zero_part(struct node *node, uint64_t offset, uint64_t end)
{
    static const char zeros[BLOCK_SIZE_BYTES];
    block_t block = blockmap_get(&node->map, block_of(offset));
    if (offset >= end || block == BLOCK_ZERO ||
        (block == BLOCK_ABSENT && offset >= node->base_limit_bytes))
        return 0;
    return change_range(node, zeros, offset, end, 0);
}

static int zero_range(struct node *node, uint64_t offset, uint64_t end)
{
    end = min_u64(end, round_up(node->size_bytes));
    if (offset >= end)
        return 0;
    uint64_t first_whole = round_up(offset);
    uint64_t last_whole = end / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
    int r = zero_part(node, offset, min_u64(first_whole, end));
    if (r == 0 && last_whole >= first_whole)
        r = zero_part(node, last_whole, end);
    if (r == 0 && last_whole > first_whole)
        r = drop_blocks(node, block_of(first_whole), block_of(last_whole));
    return r;
}

/* Stores what has no storage yet, piece by piece, so that later writes find room. */
static int store_range(struct node *node, uint64_t offset, uint64_t end, bool grow)
{
    enum { PIECE_BYTES = 1 << 20 };
    while (offset < end) {
        uint64_t stop = min_u64(end, offset / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES);
        int r = change_range(node, NULL, offset, stop, grow ? stop : 0);
        if (r < 0)
            return r;
        offset = stop;
    }
    return 0;
}

static int allocate_held(struct node *node, int mode, uint64_t offset, uint64_t end)
{
    bool grow = !(mode & FALLOC_FL_KEEP_SIZE);
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
        return store_range(node, offset, end, grow);
    case FALLOC_FL_PUNCH_HOLE:
        return grow ? -EOPNOTSUPP : zero_range(node, offset, end);
    case FALLOC_FL_ZERO_RANGE: {
        int r = zero_range(node, offset, end);
        if (r < 0 || !grow || end <= node->size_bytes)
            return r;
        struct change longer = {.node = node};
        r = file_zero_tail(node, end);
        return r < 0 ? r : commit(&longer, end);
    }
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
    struct session *session = node->session;
    (void)pthread_rwlock_rdlock(&session->changes);
    (void)pthread_rwlock_wrlock(&node->lock);
    int r = allocate_held(node, mode, offset, offset + length);
    (void)pthread_rwlock_unlock(&node->lock);
    (void)pthread_rwlock_unlock(&session->changes);
    session_after_change(session);
    return r;
}

static bool is_data(const struct node *node, fileblock_t at, block_t block)
{
    if (block == BLOCK_ABSENT)
        return (uint64_t)at * BLOCK_SIZE_BYTES < node->base_limit_bytes;
    return block != BLOCK_ZERO;
}

static int seek_held(const struct node *node, uint64_t offset, int whence, uint64_t *ret_offset)
{
    if (offset >= node->size_bytes)
        return -ENXIO;
    fileblock_t end = block_of(round_up(node->size_bytes));
    fileblock_t lent_end = block_of(round_up(node->base_limit_bytes));
    for (fileblock_t at = block_of(offset); at < end;) {
        block_t block;
        /* A run of absent blocks may cross the limit: it is looked at in two parts. */
        fileblock_t stop = at < lent_end && lent_end < end ? lent_end : end;
        uint32_t run = blockmap_run(&node->map, at, stop - at, &block);
        if (is_data(node, at, block) == (whence == SEEK_DATA)) {
            uint64_t start = (uint64_t)at * BLOCK_SIZE_BYTES;
            *ret_offset = start > offset ? start : offset;
            return 0;
        }
        at += run;
    }
    if (whence == SEEK_DATA)
        return -ENXIO;
    *ret_offset = node->size_bytes;
    return 0;
}

int file_seek(struct node *node, uint64_t offset, int whence, uint64_t *ret_offset)
{
    (void)pthread_rwlock_rdlock(&node->lock);
    int r = seek_held(node, offset, whence, ret_offset);
    (void)pthread_rwlock_unlock(&node->lock);
    return r;
}

/* ---- open files ---- */

int file_open(struct node *node)
{
    (void)pthread_rwlock_wrlock(&node->lock);
    int r = 0;
    if (node->opens == 0 && node->base != BASE_NONE && node->base_limit_bytes > 0)
        r = base_file_acquire(node->session->base, node->base, &node->base_fd);
    if (r == 0) {
        session_touch(node->session);
        node->opens++;
        atomic_fetch_add(&node->session->open_files, 1);
    } else {
        node->base_fd = -1;
    }
    (void)pthread_rwlock_unlock(&node->lock);
    return r;
}

void file_close(struct node *node)
{
    (void)pthread_rwlock_wrlock(&node->lock);
    session_touch(node->session);
    node->opens--;
    if (atomic_fetch_sub(&node->session->open_files, 1) == 1)
        changelog_rest(node->session->log);
    if (node->opens == 0 && node->base_fd >= 0) {
        base_file_release(node->session->base, node->base);
        node->base_fd = -1;
    }
    (void)pthread_rwlock_unlock(&node->lock);
}
