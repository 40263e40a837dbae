/*
 * The bytes of one copy-on-write file; fallocate(2) is in fallocate.c.
 *
 *     state of a block          in the map       a read sees
 *     as in the template        BLOCK_ABSENT     template's bytes below lower_limit, zeros above
 *     changed, or new           storage          storage
 *     hole over the template    BLOCK_ZERO       zeros
 *
 * lower_limit is the template's size at first; a truncation lowers it and nothing raises it, so
 * that bytes cut off once never come back. A stored block is whole: 4 KiB, the bytes that a write
 * did not touch filled from what was there. Behind the end a stored block may hold anything; it is
 * zeroed when the file grows over it (file_zero_tail).
 */
#include <fcntl.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/overlay/overlay_internal.h"

/* Where SQLite's file header holds the write and read versions, 2 for WAL
 * (https://www.sqlite.org/fileformat.html, 1.3.3). */
enum { SQLITE_VERSIONS_OFFSET = 18, SQLITE_VERSIONS_SIZE = 2, SQLITE_VERSION_WAL = 2 };

/* Overwriting in place makes no record but, at most this often, that of its time. */
enum { TIME_TOLERANCE_NS = 1000 * 1000 * 1000 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- reading ---- */

/* A template is sealed in rollback mode; its session begins in the mode that the builder left. */
static void show_journal_mode(const struct node *node, char *buffer, size_t size, uint64_t offset)
{
    if (!lower_entry(node->session->lower, node->entry)->starts_in_wal)
        return;
    for (uint64_t i = SQLITE_VERSIONS_OFFSET; i < SQLITE_VERSIONS_OFFSET + SQLITE_VERSIONS_SIZE;
         i++)
        if (i >= offset && i < offset + size)
            buffer[i - offset] = SQLITE_VERSION_WAL;
}

/* Of stored blocks: -EBADMSG becomes what a program expects of a bad disk, with one message. */
static int log_damage(const struct node *node, int r)
{
    struct session *session = node->session;
    if (r != -EBADMSG)
        return r;
    if (!atomic_exchange(&session->logged_damage, true))
        log_warning("the session %s of template %.12s: its storage in the scratch is damaged, and "
                    "what is damaged cannot be read; mintfs session reset %s begins again",
                    session->id, session_key(session), session->id);
    return -EIO;
}

/* What absent blocks show: the template's bytes below the limit, zeros above. */
static int read_lower(struct node *node, char *buffer, size_t size, uint64_t offset)
{
    size_t lent = 0;
    if (offset < node->lower_limit_bytes)
        lent = (size_t)min_u64(size, node->lower_limit_bytes - offset);
    memset(buffer + lent, 0, size - lent);
    if (!lent)
        return 0;
    int fd = node->lower_fd;
    if (fd < 0) {
        int r = lower_file_acquire(node->session->lower, node->entry, &fd);
        if (r < 0)
            return r;
    }
    int r = io_pread_exact(fd, buffer, lent, (off_t)offset);
    if (node->lower_fd < 0)
        lower_file_release(node->session->lower, node->entry);
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
        uint32_t blocks = (uint32_t)(block_round_up(within + size) / BLOCK_SIZE_BYTES);
        block_t block;
        uint32_t run = blockmap_run(&node->map, at, blocks, &block);
        size_t part = (size_t)min_u64(size, (uint64_t)run * BLOCK_SIZE_BYTES - within);
        int r = 0;
        if (block == BLOCK_ABSENT)
            r = read_lower(node, buffer, part, offset);
        else if (block == BLOCK_ZERO)
            memset(buffer, 0, part);
        else
            r = blocks_read(node->session->blocks, block, within, buffer, part);
        if (r < 0)
            return log_damage(node, r);
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
    if (node->lower_fd >= 0 && there > 0)
        prefetch_note(lower_file_prefetch(node->session->lower, node->entry), block_of(offset),
                      block_of(block_round_up(offset + there)) - block_of(offset));
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

static void give_all_back(const struct change *change)
{
    for (size_t i = 0; i < change->run_count; i++)
        give_back(change->node, change->runs[i].block, change->runs[i].count);
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
    struct block_tag tag = node_tag(change->node, at);
    return blocks_write_fresh(change->node->session->blocks, block, 1, &tag, whole);
}

/* Fills a run of fresh blocks: whole ones straight from the caller's bytes. */
static int write_fresh(const struct change *change, const struct taken_run *run)
{
    for (uint32_t i = 0; i < run->count;) {
        uint64_t start = (uint64_t)(run->at + i) * BLOCK_SIZE_BYTES;
        uint32_t whole = 0;
        if (change->bytes && change->offset <= start && change->end > start)
            whole = (uint32_t)min_u64(run->count - i, (change->end - start) / BLOCK_SIZE_BYTES);
        struct block_tag tag = node_tag(change->node, run->at + i);
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

/* Writes what lies within [from, end) to the blocks that are stored already: `bytes`, or zeros. */
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
        struct block_tag tag = node_tag(node, at);
        int r = 0;
        if (block < BLOCK_LIMIT)
            r = blocks_write(node->session->blocks, block, (uint32_t)(from % BLOCK_SIZE_BYTES),
                             &tag, bytes ? bytes : zeros, to - from);
        if (r < 0)
            return log_damage(node, r);
        bytes = bytes ? bytes + (to - from) : NULL;
        from = to;
    }
    return 0;
}

/* Those of the change's bytes that lie before the file's end (as yet), or behind it. */
static int write_in_place(const struct change *change, bool behind)
{
    uint64_t size = change->node->size_bytes;
    uint64_t from = behind && change->offset < size ? size : change->offset;
    uint64_t end = behind ? change->end : min_u64(change->end, size);
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

/* Tells the log what was taken, and the size. */
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
 * Writes, records and shows it; the file has then at least size_bytes. What is visible already is
 * overwritten last, when nothing can fail any more for want of room.
 */
static int commit(struct change *change, uint64_t size_bytes)
{
    struct node *node = change->node;
    int64_t now = node_now_ns();
    int r = write_in_place(change, true);
    if (r == 0)
        r = record_change(change, size_bytes, now);
    if (r < 0) {
        give_all_back(change);
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
        give_all_back(&change);
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
    int r = file_store_range(node, buffer, offset, offset + size, offset + size);
    if (r == -ENOSPC && blocks_make_room(session->blocks))
        r = file_store_range(node, buffer, offset, offset + size, offset + size);
    (void)pthread_rwlock_unlock(&node->lock);
    (void)pthread_rwlock_unlock(&session->changes);
    session_after_change(session);
    return r;
}

/* ---- size ---- */

int file_zero_tail(struct node *node, uint64_t new_size_bytes)
{
    return write_stored(node, NULL, node->size_bytes, new_size_bytes);
}

void file_release_run(fileblock_t at UNUSED, uint32_t count, block_t block, void *context)
{
    struct node *node = context;
    if (block >= BLOCK_LIMIT)
        return;
    give_back(node, block, count);
    node->stored_blocks -= count;
}

int file_grow(struct node *node, uint64_t size_bytes)
{
    struct change change = {.node = node};
    int r = file_zero_tail(node, size_bytes);
    return r < 0 ? r : commit(&change, size_bytes);
}

void file_apply_size(struct node *node, uint64_t size_bytes, uint64_t lower_limit_bytes)
{
    bool shorter = size_bytes < node->size_bytes;
    node->size_bytes = size_bytes;
    node->lower_limit_bytes = lower_limit_bytes;
    if (!shorter)
        return;
    if (size_bytes == 0) {
        file_release_all(node);
        return;
    }
    fileblock_t from = block_of(block_round_up(size_bytes));
    blockmap_each(&node->map, from, file_release_run, node);
    blockmap_cut(&node->map, from);
}

void file_release_all(struct node *node)
{
    blockmap_each(&node->map, 0, file_release_run, node);
    blockmap_free(&node->map);
}

/* ---- open files ---- */

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
        if (read_range(node, bytes, size, offset) < 0)
            return; /* whoever reads it is told */
        warm(offset, bytes, size, context);
    }
}

int file_open(struct node *node)
{
    return file_open_warm(node, NULL, NULL);
}

int file_open_warm(struct node *node, file_warmer *warm, void *context)
{
    (void)pthread_rwlock_wrlock(&node->lock);
    int r = 0;
    if (node->opens == 0 && node->entry != LOWER_NONE && node->lower_limit_bytes > 0)
        r = lower_file_acquire(node->session->lower, node->entry, &node->lower_fd);
    if (r == 0 && warm && node->lower_fd >= 0 && !node->opened && !node->changed)
        warm_up(node, warm, context);
    if (r == 0) {
        session_touch(node->session);
        node->opened = true;
        node->opens++;
        atomic_fetch_add(&node->session->open_files, 1);
    } else {
        node->lower_fd = -1;
    }
    (void)pthread_rwlock_unlock(&node->lock);
    return r;
}

void file_close(struct node *node)
{
    (void)pthread_rwlock_rdlock(&node->session->changes);
    (void)pthread_rwlock_wrlock(&node->lock);
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
    (void)pthread_rwlock_unlock(&node->lock);
    (void)pthread_rwlock_unlock(&node->session->changes);
}
