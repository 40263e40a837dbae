#include "fs/overlay/blocks.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/io.h"

enum {
    WORD_BITS = 64,
    WORDS_MAX = BLOCK_LIMIT / WORD_BITS,
    /*
     * Free blocks that keep their storage for the next journals: a few, and a share of those that
     * are taken.
     */
    SLACK_BLOCKS = 64,
    SLACK_SHARE = 16,
};

struct blocks {
    int fd;
    struct owners *owners;
    pthread_mutex_t mutex; /* guards what follows; of other locks, only owners' is taken under it */
    uint64_t *taken;       /* one bit per block */
    uint64_t *stored;      /* one bit per block that may have storage */
    size_t words;
    uint64_t inherited; /* the number of blocks in the file when it was opened */
    /*
     * Blocks past the words may also have storage, up to here. No log has named them yet, and a
     * trim punches all of them at once.
     */
    uint64_t tail_end;
    size_t hint; /* no word before this one has a free bit */
    uint64_t taken_count;
    uint64_t borrowed_count; /* marked as taken by a trim while it punches them */
    uint64_t stored_count;
};

void blocks_free(struct blocks *blocks)
{
    if (!blocks)
        return;
    (void)close(blocks->fd);
    owners_free(blocks->owners);
    pthread_mutex_destroy(&blocks->mutex);
    free(blocks->taken);
    free(blocks->stored);
    free(blocks);
}

static bool test(const uint64_t *bits, block_t block)
{
    return bits[block / WORD_BITS] >> (block % WORD_BITS) & 1;
}

static void set(uint64_t *bits, block_t block)
{
    bits[block / WORD_BITS] |= (uint64_t)1 << (block % WORD_BITS);
}

static void clear(uint64_t *bits, block_t block)
{
    bits[block / WORD_BITS] &= ~((uint64_t)1 << (block % WORD_BITS));
}

static int grow_one(uint64_t **bits, size_t from, size_t to)
{
    uint64_t *larger = realloc(*bits, to * sizeof(**bits));
    if (!larger)
        return -ENOMEM;
    memset(larger + from, 0, (to - from) * sizeof(**bits));
    *bits = larger;
    return 0;
}

/* Extends the bit maps to at least this many words; called with the mutex held. */
static int grow(struct blocks *blocks, size_t words)
{
    size_t to = blocks->words ? blocks->words : 16;
    while (to < words)
        to *= 2;
    if (to > WORDS_MAX)
        to = WORDS_MAX;
    if (to < words)
        return -ENOSPC;
    int r = grow_one(&blocks->taken, blocks->words, to);
    if (r == 0)
        r = grow_one(&blocks->stored, blocks->words, to);
    if (r < 0)
        return r;
    /* Blocks of an earlier daemon have storage, until a trim finds that no session claimed them. */
    for (uint64_t block = blocks->words * WORD_BITS;
         block < to * WORD_BITS && block < blocks->tail_end; block++) {
        set(blocks->stored, (block_t)block);
        blocks->stored_count++;
    }
    blocks->words = to;
    return 0;
}

static bool has_tail(const struct blocks *blocks)
{
    return blocks->tail_end > blocks->words * WORD_BITS;
}

int blocks_new(int fd, struct owners *owners, struct blocks **ret_blocks)
{
    struct blocks *blocks = calloc(1, sizeof(*blocks));
    if (!blocks)
        return -ENOMEM;
    struct stat status;
    if (fstat(fd, &status) < 0) {
        int error = errno;
        free(blocks);
        return -error;
    }
    blocks->fd = fd;
    blocks->owners = owners;
    blocks->inherited = ((uint64_t)status.st_size + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
    blocks->tail_end = blocks->inherited;
    pthread_mutex_init(&blocks->mutex, NULL);
    *ret_blocks = blocks;
    return 0;
}

static void take_one(struct blocks *blocks, block_t block)
{
    set(blocks->taken, block);
    blocks->taken_count++;
    if (!test(blocks->stored, block)) {
        set(blocks->stored, block);
        blocks->stored_count++;
    }
}

int blocks_take(struct blocks *blocks, uint32_t want, block_t *ret_first)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    while (blocks->hint < blocks->words && blocks->taken[blocks->hint] == UINT64_MAX)
        blocks->hint++;
    if (blocks->hint == blocks->words) {
        int r = grow(blocks, blocks->words + 1);
        if (r < 0)
            return r;
    }
    block_t first = (block_t)(blocks->hint * WORD_BITS) +
                    (block_t)__builtin_ctzll(~blocks->taken[blocks->hint]);
    uint32_t count = 0;
    while (count < want && first + count < blocks->words * WORD_BITS &&
           !test(blocks->taken, first + count))
        take_one(blocks, first + count++);
    *ret_first = first;
    return (int)count;
}

bool blocks_exist(struct blocks *blocks, block_t first, uint32_t count)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    return (uint64_t)first + count <= blocks->inherited;
}

/* 0 if all of them exist and are free; with the mutex held. */
static int find_free_held(struct blocks *blocks, block_t first, uint32_t count)
{
    uint64_t end = (uint64_t)first + count;
    if (end > blocks->inherited || end > (uint64_t)WORDS_MAX * WORD_BITS)
        return -EBADMSG;
    if (end > blocks->words * WORD_BITS) {
        int r = grow(blocks, (size_t)((end + WORD_BITS - 1) / WORD_BITS));
        if (r < 0)
            return r;
    }
    for (block_t block = first; block < end; block++)
        if (test(blocks->taken, block) || !test(blocks->stored, block))
            return -EBADMSG;
    return 0;
}

static void take_run_held(struct blocks *blocks, block_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        take_one(blocks, first + i);
}

int blocks_claim(struct blocks *blocks, block_t first, uint32_t count, const struct block_tag *tag)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    int r = find_free_held(blocks, first, count);
    if (r == 0)
        r = owners_confirm(blocks->owners, first, count, tag);
    if (r == 0)
        take_run_held(blocks, first, count);
    return r;
}

int blocks_adopt(struct blocks *blocks, block_t first, uint32_t count, const struct block_tag *tag,
                 uint64_t *ret_rival)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    /* The table is asked first: it knows the owner of a taken block. */
    int r = (uint64_t)first + count > blocks->inherited
                ? -EBADMSG
                : owners_adopt(blocks->owners, first, count, tag, ret_rival);
    if (r == 0)
        r = find_free_held(blocks, first, count);
    if (r == 0)
        take_run_held(blocks, first, count);
    return r;
}

void blocks_release(struct blocks *blocks, block_t first, uint32_t count)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    for (block_t block = first; block < first + count; block++)
        clear(blocks->taken, block);
    blocks->taken_count -= count;
    if (first / WORD_BITS < blocks->hint)
        blocks->hint = first / WORD_BITS;
}

static off_t offset_of(block_t block)
{
    return (off_t)block * BLOCK_SIZE_BYTES;
}

static int read_whole(struct blocks *blocks, block_t block, char *ret_bytes)
{
    int r = io_pread_exact(blocks->fd, ret_bytes, BLOCK_SIZE_BYTES, offset_of(block));
    return r < 0 ? r : owners_check(blocks->owners, block, ret_bytes);
}

/* How many of `size` bytes, starting at `within`, are in the block where they start. */
static size_t part_of_block(uint32_t within, size_t size)
{
    size_t left = BLOCK_SIZE_BYTES - within;
    return size < left ? size : left;
}

int blocks_read(struct blocks *blocks, block_t first, uint32_t within, void *buffer, size_t size)
{
    int r = io_pread_exact(blocks->fd, buffer, size, offset_of(first) + within);
    char *at = buffer;
    for (block_t block = first; r == 0 && size > 0; block++) {
        size_t part = part_of_block(within, size);
        char whole[BLOCK_SIZE_BYTES];
        if (part == BLOCK_SIZE_BYTES)
            r = owners_check(blocks->owners, block, at);
        else
            r = read_whole(blocks, block, whole);
        at += part;
        size -= part;
        within = 0;
    }
    return r;
}

int blocks_write_fresh(struct blocks *blocks, block_t first, uint32_t count,
                       const struct block_tag *tag, const void *bytes)
{
    int r = owners_note_fresh(blocks->owners, first, count, tag, bytes);
    if (r < 0)
        return r;
    return io_pwrite(blocks->fd, bytes, (size_t)count * BLOCK_SIZE_BYTES, offset_of(first));
}

/* The block's checksum after these bytes are written to it. */
static int sum_with(struct blocks *blocks, block_t block, uint32_t within, const char *bytes,
                    size_t size, uint32_t *ret_sum)
{
    if (size == BLOCK_SIZE_BYTES) {
        *ret_sum = owners_sum(bytes);
        return 0;
    }
    char whole[BLOCK_SIZE_BYTES];
    int r = read_whole(blocks, block, whole);
    if (r < 0)
        return r;
    memcpy(whole + within, bytes, size);
    *ret_sum = owners_sum(whole);
    return 0;
}

/* Blocks are overwritten in place in pieces of this many. */
enum { PIECE_BLOCKS = 64 };

/* Writes to at most PIECE_BLOCKS blocks. */
static int write_piece(struct blocks *blocks, block_t first, uint32_t within,
                       const struct block_tag *tag, const char *buffer, size_t size)
{
    uint32_t sums[PIECE_BLOCKS];
    uint32_t count = 0;
    uint32_t start = within;
    for (size_t done = 0; done < size; count++) {
        size_t part = part_of_block(start, size - done);
        int r = sum_with(blocks, first + count, start, buffer + done, part, &sums[count]);
        if (r < 0)
            return r;
        done += part;
        start = 0;
    }
    int r = owners_note_change(blocks->owners, first, count, tag, sums, blocks->fd);
    if (r < 0)
        return r;
    r = io_pwrite(blocks->fd, buffer, size, offset_of(first) + within);
    owners_learn(blocks->owners, first, count, r == 0 ? sums : NULL);
    return r;
}

int blocks_write(struct blocks *blocks, block_t first, uint32_t within, const struct block_tag *tag,
                 const void *buffer, size_t size)
{
    struct block_tag at = *tag;
    const char *bytes = buffer;
    while (size > 0) {
        size_t part = (size_t)PIECE_BLOCKS * BLOCK_SIZE_BYTES - within;
        part = size < part ? size : part;
        int r = write_piece(blocks, first, within, &at, bytes, part);
        if (r < 0)
            return r;
        bytes += part;
        size -= part;
        first += PIECE_BLOCKS;
        at.at += PIECE_BLOCKS;
        within = 0;
    }
    return 0;
}

/* Free blocks with storage; called with the mutex held. */
static uint64_t idle_count(const struct blocks *blocks)
{
    return blocks->stored_count - blocks->taken_count - blocks->borrowed_count;
}

bool blocks_wants_trim(struct blocks *blocks)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    uint64_t idle = idle_count(blocks);
    if (has_tail(blocks))
        return true;
    if (blocks->taken_count == 0)
        return idle > 0;
    return idle > SLACK_BLOCKS + blocks->taken_count / SLACK_SHARE;
}

/* Free, and may have storage. */
static bool is_idle(const struct blocks *blocks, block_t block)
{
    return test(blocks->stored, block) && !test(blocks->taken, block);
}

/* The first idle block from `block` on, or `end`; with the mutex held. */
static block_t find_idle(const struct blocks *blocks, block_t block, block_t end)
{
    while (block < end && !is_idle(blocks, block)) {
        size_t word = block / WORD_BITS;
        bool none = !(blocks->stored[word] & ~blocks->taken[word]);
        block = none ? (block_t)((word + 1) * WORD_BITS) : block + 1;
    }
    return block < end ? block : end;
}

/*
 * Marks the next run of at least `least` idle blocks from *at on as taken, so that it is not
 * written while it is punched. False at the end.
 */
static bool borrow_idle_run(struct blocks *blocks, uint32_t least, block_t *at, block_t *ret_first,
                            uint32_t *ret_count)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    block_t end = (block_t)(blocks->words * WORD_BITS);
    block_t first;
    block_t next = *at;
    do {
        first = find_idle(blocks, next, end);
        next = first;
        while (next < end && is_idle(blocks, next))
            next++;
    } while (first < end && next - first < least);
    for (block_t block = first; block < next; block++)
        set(blocks->taken, block);
    blocks->borrowed_count += next - first;
    *ret_first = first;
    *ret_count = next - first;
    *at = next;
    return first < end;
}

static void return_run(struct blocks *blocks, block_t first, uint32_t count, bool punched)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    for (block_t block = first; block < first + count; block++) {
        clear(blocks->taken, block);
        if (punched)
            clear(blocks->stored, block);
    }
    blocks->borrowed_count -= count;
    if (punched)
        blocks->stored_count -= count;
    if (first / WORD_BITS < blocks->hint)
        blocks->hint = first / WORD_BITS;
}

/*
 * If nothing is taken, empties the file and the bit maps at once. The file keeps its length, since
 * recovery refuses a log that names blocks past the end, and a log may still name released blocks.
 */
static bool trim_all(struct blocks *blocks)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    struct stat status;
    if (blocks->taken_count || blocks->borrowed_count || fstat(blocks->fd, &status) < 0 ||
        (status.st_size && io_fallocate(blocks->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                        status.st_size) < 0))
        return false;
    /* Old tags do no harm. */
    (void)!owners_clear(blocks->owners);
    free(blocks->taken);
    free(blocks->stored);
    blocks->taken = NULL;
    blocks->stored = NULL;
    blocks->words = 0;
    blocks->tail_end = 0;
    blocks->hint = 0;
    blocks->stored_count = 0;
    return true;
}

static void trim_tail(struct blocks *blocks)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    uint64_t from = blocks->words * WORD_BITS;
    if (has_tail(blocks) &&
        io_fallocate(blocks->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(from * BLOCK_SIZE_BYTES),
                     (off_t)((blocks->tail_end - from) * BLOCK_SIZE_BYTES)) == 0)
        blocks->tail_end = 0;
}

enum { LONG_RUN_BLOCKS = 64 };

void blocks_trim(struct blocks *blocks, int64_t budget_ns, const atomic_bool *stop)
{
    static const uint32_t least[] = {LONG_RUN_BLOCKS, 1};
    int64_t end_ns = clock_monotonic_ns() + budget_ns;
    if (trim_all(blocks))
        return;
    trim_tail(blocks);
    for (size_t pass = 0; pass < ARRAY_LENGTH(least); pass++) {
        block_t at = 0;
        block_t first;
        uint32_t count;
        while (clock_monotonic_ns() < end_ns && !(stop && atomic_load(stop)) &&
               borrow_idle_run(blocks, least[pass], &at, &first, &count)) {
            int r = io_fallocate(blocks->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 offset_of(first), (off_t)count * BLOCK_SIZE_BYTES);
            return_run(blocks, first, count, r == 0);
            if (r < 0)
                return;
        }
    }
}

bool blocks_make_room(struct blocks *blocks)
{
    (void)pthread_mutex_lock(&blocks->mutex);
    bool idle = idle_count(blocks) > 0 || has_tail(blocks);
    (void)pthread_mutex_unlock(&blocks->mutex);
    if (idle)
        blocks_trim(blocks, NS_PER_S, NULL);
    return idle;
}

uint64_t blocks_taken(struct blocks *blocks)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&blocks->mutex);
    return blocks->taken_count;
}
