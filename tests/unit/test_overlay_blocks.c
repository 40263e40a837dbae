#include "tests/unit/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "fs/base/io.h"
#include "fs/overlay/blocks.h"

static int storage_fd; /* of the last blocks_of(), which owns it */

static struct blocks *blocks_of(const struct place *place)
{
    int fd = storage_fd = io_openat(place->fd, "blocks", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    int owners_fd = io_openat(place->fd, "owners", O_RDWR | O_CREAT, 0600);
    struct owners *owners = NULL;
    struct blocks *blocks = NULL;
    CHECK_EQ(owners_open(owners_fd, &owners), 0);
    CHECK_EQ(blocks_new(fd, owners, &blocks), 0);
    return blocks;
}

static uint64_t stored_bytes(void)
{
    struct stat status;
    CHECK_EQ(fstat(storage_fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* All blocks are one file's, in their order. */
static struct block_tag tag_of(block_t block)
{
    return (struct block_tag){.owner = 4711, .node = 3, .at = block};
}

static int claim(struct blocks *blocks, block_t first, uint32_t count)
{
    struct block_tag tag = tag_of(first);
    return blocks_claim(blocks, first, count, &tag);
}

static void trim(struct blocks *blocks)
{
    blocks_trim(blocks, INT64_MAX / 2, NULL);
}

static void write_block(struct blocks *blocks, block_t block)
{
    char bytes[BLOCK_SIZE_BYTES];
    memset(bytes, (int)(block % 251 + 1), sizeof(bytes));
    struct block_tag tag = tag_of(block);
    CHECK_EQ(blocks_write_fresh(blocks, block, 1, &tag, bytes), 0);
}

static void check_block(struct blocks *blocks, block_t block)
{
    char bytes[BLOCK_SIZE_BYTES];
    CHECK_EQ(blocks_read(blocks, block, 0, bytes, sizeof(bytes)), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        CHECK_EQ((unsigned char)bytes[i], block % 251 + 1);
}

/* ---- against a model: a flag a block, and the lowest free one is always the next ---- */

enum { MODEL_BLOCKS = 3000 };

struct model {
    struct blocks *blocks;
    bool taken[MODEL_BLOCKS];
    uint32_t count;
};

static void model_take(struct model *model, uint32_t want)
{
    block_t lowest = 0;
    while (model->taken[lowest])
        lowest++;
    if (lowest + want >= MODEL_BLOCKS)
        return;
    block_t first;
    int count = blocks_take(model->blocks, want, &first);
    CHECK(count >= 1 && count <= (int)want);
    CHECK_EQ(first, lowest);
    for (int i = 0; i < count; i++) {
        CHECK(!model->taken[first + (block_t)i]);
        model->taken[first + (block_t)i] = true;
        write_block(model->blocks, first + (block_t)i);
    }
    model->count += (uint32_t)count;
}

/* A run of taken blocks from a random place on; 0 if there is none. */
static uint32_t find_taken(const struct model *model, struct rng *rng, block_t *ret_first)
{
    block_t from = (block_t)rng_below(rng, MODEL_BLOCKS);
    for (block_t i = 0; i < MODEL_BLOCKS; i++) {
        block_t at = (from + i) % MODEL_BLOCKS;
        if (!model->taken[at])
            continue;
        uint32_t length = 0;
        uint32_t limit = 1 + (uint32_t)rng_below(rng, 40);
        while (length < limit && at + length < MODEL_BLOCKS && model->taken[at + length])
            length++;
        *ret_first = at;
        return length;
    }
    return 0;
}

static void model_release(struct model *model, struct rng *rng)
{
    block_t first;
    uint32_t count = find_taken(model, rng, &first);
    if (!count)
        return;
    blocks_release(model->blocks, first, count);
    for (uint32_t i = 0; i < count; i++)
        model->taken[first + i] = false;
    model->count -= count;
}

static void model_check(const struct model *model, struct rng *rng)
{
    CHECK_EQ(blocks_taken(model->blocks), model->count);
    for (int i = 0; i < 20; i++) {
        block_t block = (block_t)rng_below(rng, MODEL_BLOCKS);
        if (model->taken[block])
            check_block(model->blocks, block);
    }
}

static void run_model(struct rng *rng, void *context)
{
    struct model model = {.blocks = blocks_of(context)};
    for (int i = 0; i < 3000; i++) {
        /* Waves of more taken and more given back. */
        bool grows = i / 300 % 2 == 0;
        if (rng_chance(rng, grows ? 60 : 30))
            model_take(&model, 1 + (uint32_t)rng_below(rng, rng_chance(rng, 10) ? 200 : 8));
        else
            model_release(&model, rng);
        if (rng_chance(rng, 2)) {
            trim(model.blocks);
            CHECK(!blocks_wants_trim(model.blocks));
        }
        if (rng_chance(rng, 2))
            model_check(&model, rng);
    }
    for (block_t block = 0; block < MODEL_BLOCKS; block++)
        if (model.taken[block])
            check_block(model.blocks, block);
    blocks_free(model.blocks);
}

static void test_blocks_behave_like_a_set(void **state)
{
    support_each_seed(10, run_model, *state);
}

/* ---- trim ---- */

static void test_a_trim_returns_storage(void **state)
{
    struct blocks *blocks = blocks_of(*state);
    CHECK(!blocks_wants_trim(blocks));
    enum { COUNT = 1000 };
    for (uint32_t left = COUNT; left > 0;) {
        block_t first;
        int count = blocks_take(blocks, left, &first);
        CHECK(count > 0);
        for (int i = 0; i < count; i++)
            write_block(blocks, first + (block_t)i);
        left -= (uint32_t)count;
    }
    CHECK(stored_bytes() >= (uint64_t)COUNT * BLOCK_SIZE_BYTES);
    CHECK(!blocks_wants_trim(blocks));
    /* All but each tenth. */
    for (block_t block = 0; block < COUNT; block++)
        if (block % 10)
            blocks_release(blocks, block, 1);
    CHECK(blocks_wants_trim(blocks));
    trim(blocks);
    CHECK(!blocks_wants_trim(blocks));
    CHECK(stored_bytes() <= (uint64_t)(COUNT / 10 + 2) * BLOCK_SIZE_BYTES);
    for (block_t block = 0; block < COUNT; block += 10)
        check_block(blocks, block);
    /* What was punched is free to be taken, lowest first. */
    block_t first;
    CHECK_EQ(blocks_take(blocks, 100, &first), 9);
    CHECK_EQ(first, 1);
    blocks_release(blocks, 1, 9);
    for (block_t block = 0; block < COUNT; block += 10)
        blocks_release(blocks, block, 1);
    CHECK(blocks_wants_trim(blocks));
    trim(blocks);
    struct stat status;
    CHECK_EQ(fstat(storage_fd, &status), 0);
    CHECK_EQ(status.st_blocks, 0);
    CHECK_EQ(status.st_size, COUNT * BLOCK_SIZE_BYTES);
    CHECK_EQ(blocks_taken(blocks), 0);
    CHECK_EQ(blocks_take(blocks, 3, &first), 3);
    CHECK_EQ(first, 0);
    blocks_free(blocks);
}

static void test_a_trim_that_fails_loses_nothing(void **state)
{
    struct blocks *blocks = blocks_of(*state);
    block_t first;
    CHECK_EQ(blocks_take(blocks, 1000, &first), 1000);
    for (block_t block = 0; block < 1000; block++)
        write_block(blocks, block);
    blocks_release(blocks, 100, 300);
    blocks_release(blocks, 600, 300);
    for (unsigned long nth = 1; nth <= 3; nth++) {
        io_fault_arm(nth, EIO, IO_FAULT_FROM_THEN_ON);
        trim(blocks);
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        CHECK_EQ(blocks_taken(blocks), 400);
        check_block(blocks, 99);
        check_block(blocks, 400);
        check_block(blocks, 900);
    }
    CHECK_EQ(blocks_take(blocks, 1000, &first), 300);
    CHECK_EQ(first, 100);
    blocks_free(blocks);
}

/* Scattered blocks are punched one by one: only as long as there is time, and long runs first. */
static void test_a_trim_ends_with_its_budget(void **state)
{
    struct blocks *blocks = blocks_of(*state);
    enum { COUNT = 1000, SCATTERED_END = 500, RUN = 400 };
    block_t first;
    CHECK_EQ(blocks_take(blocks, COUNT, &first), COUNT);
    for (block_t block = 0; block < COUNT; block++)
        write_block(blocks, block);
    for (block_t block = 0; block < SCATTERED_END; block += 2)
        blocks_release(blocks, block, 1);
    blocks_release(blocks, SCATTERED_END, RUN);
    uint64_t before = stored_bytes();

    blocks_trim(blocks, 0, NULL);
    atomic_bool stop = true;
    blocks_trim(blocks, INT64_MAX / 2, &stop);
    CHECK_EQ(stored_bytes(), before);
    CHECK_EQ(blocks_taken(blocks), COUNT - SCATTERED_END / 2 - RUN);

    /* The first punch succeeds, the second ends it. */
    io_fault_arm(2, EIO, IO_FAULT_FROM_THEN_ON);
    trim(blocks);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    CHECK_EQ(before - stored_bytes(), RUN * BLOCK_SIZE_BYTES);
    stop = false;
    blocks_trim(blocks, INT64_MAX / 2, &stop);
    CHECK(!blocks_wants_trim(blocks));
    for (block_t block = 1; block < SCATTERED_END; block += 2)
        check_block(blocks, block);
    blocks_free(blocks);
}

/* ---- blocks of an earlier daemon ---- */

static void test_a_claim_takes_all_blocks_or_none(void **state)
{
    const struct place *place = *state;
    struct blocks *blocks = blocks_of(place);
    block_t first;
    CHECK_EQ(blocks_take(blocks, 500, &first), 500);
    for (block_t block = 0; block < 500; block++)
        write_block(blocks, block);
    blocks_free(blocks);

    blocks = blocks_of(place);
    CHECK_EQ(blocks_taken(blocks), 0);
    CHECK_EQ(claim(blocks, 10, 90), 0);
    CHECK_EQ(claim(blocks, 0, 0), 0);
    CHECK_EQ(blocks_taken(blocks), 90);
    CHECK_EQ(claim(blocks, 0, 11), -EBADMSG);
    CHECK_EQ(claim(blocks, 99, 1), -EBADMSG);
    CHECK_EQ(claim(blocks, 99, 100), -EBADMSG);
    CHECK_EQ(blocks_taken(blocks), 90);
    CHECK_EQ(claim(blocks, 100, 100), 0);
    CHECK_EQ(claim(blocks, 0, 10), 0);
    CHECK_EQ(blocks_taken(blocks), 200);
    /* What was never written cannot be anybody's. */
    CHECK_EQ(claim(blocks, 499, 2), -EBADMSG);
    CHECK_EQ(claim(blocks, 500, 1), -EBADMSG);
    CHECK_EQ(claim(blocks, BLOCK_LIMIT - 1, 1), -EBADMSG);
    CHECK_EQ(claim(blocks, BLOCK_LIMIT - 1, 2), -EBADMSG);
    CHECK_EQ(claim(blocks, 0xffffffff, 0xffffffff), -EBADMSG);
    CHECK_EQ(claim(blocks, 499, 1), 0);
    CHECK(blocks_wants_trim(blocks));
    trim(blocks);
    CHECK(stored_bytes() <= (uint64_t)210 * BLOCK_SIZE_BYTES);
    for (block_t block = 0; block < 200; block++)
        check_block(blocks, block);
    check_block(blocks, 499);
    CHECK_EQ(blocks_take(blocks, 500, &first), 299);
    CHECK_EQ(first, 200);
    blocks_free(blocks);
}

/* A file that was extended costs no more than the blocks that are claimed in it. */
static void test_a_large_unclaimed_tail_costs_nothing(void **state)
{
    const struct place *place = *state;
    struct blocks *blocks = blocks_of(place);
    block_t first;
    CHECK_EQ(blocks_take(blocks, 9, &first), 9);
    write_block(blocks, 8);
    CHECK_EQ(io_ftruncate(storage_fd, (off_t)8 << 40), 0);
    blocks_free(blocks);
    struct rusage before;
    CHECK_EQ(getrusage(RUSAGE_SELF, &before), 0);

    blocks = blocks_of(place);
    CHECK_EQ(claim(blocks, 8, 1), 0);
    CHECK(blocks_wants_trim(blocks));
    trim(blocks);
    CHECK(!blocks_wants_trim(blocks));
    struct rusage after;
    CHECK_EQ(getrusage(RUSAGE_SELF, &after), 0);
    CHECK(after.ru_maxrss < before.ru_maxrss + (100 << 10));
    check_block(blocks, 8);
    CHECK_EQ(blocks_take(blocks, 100, &first), 8);
    CHECK_EQ(first, 0);
    blocks_release(blocks, 0, 9);
    trim(blocks);
    CHECK_EQ(stored_bytes(), 0);
    blocks_free(blocks);

    /* Storage there is released as well. */
    blocks = blocks_of(place);
    write_block(blocks, 1 << 20);
    struct block_tag tag = tag_of(8);
    uint64_t rival;
    CHECK_EQ(blocks_adopt(blocks, 8, 1, &tag, &rival), 0);
    CHECK(stored_bytes() > 0);
    trim(blocks);
    CHECK_EQ(stored_bytes(), 0);
    blocks_free(blocks);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 3000, HELD_RUNS = 24 };

struct shared {
    struct blocks *blocks;
    atomic_uchar owner[1 << 16]; /* which thread has the block */
};

struct worker {
    struct shared *shared;
    unsigned number;
    bool trims;
};

static void give_back(struct shared *shared, block_t first, uint32_t count, unsigned number)
{
    for (uint32_t i = 0; i < count; i++) {
        unsigned char bytes[2];
        CHECK_EQ(blocks_read(shared->blocks, first + i, 4094, bytes, sizeof(bytes)), 0);
        CHECK_EQ(bytes[0], number);
        CHECK_EQ(atomic_exchange(&shared->owner[first + i], 0), number);
    }
    blocks_release(shared->blocks, first, count);
}

static void *work(void *context)
{
    const struct worker *worker = context;
    struct shared *shared = worker->shared;
    struct rng rng = {.state = worker->number};
    struct {
        block_t first;
        uint32_t count;
    } held[HELD_RUNS] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        size_t slot = rng_below(&rng, HELD_RUNS);
        if (held[slot].count)
            give_back(shared, held[slot].first, held[slot].count, worker->number);
        int count =
            blocks_take(shared->blocks, 1 + (uint32_t)rng_below(&rng, 20), &held[slot].first);
        CHECK(count > 0);
        held[slot].count = (uint32_t)count;
        for (int i = 0; i < count; i++) {
            block_t block = held[slot].first + (block_t)i;
            CHECK(block < ARRAY_LENGTH(shared->owner));
            CHECK_EQ(atomic_exchange(&shared->owner[block], (unsigned char)worker->number), 0);
            char bytes[BLOCK_SIZE_BYTES];
            memset(bytes, (int)worker->number, sizeof(bytes));
            struct block_tag tag = tag_of(block);
            CHECK_EQ(blocks_write_fresh(shared->blocks, block, 1, &tag, bytes), 0);
        }
        if (worker->trims && round % 16 == 0)
            trim(shared->blocks);
        (void)blocks_wants_trim(shared->blocks);
    }
    for (size_t slot = 0; slot < HELD_RUNS; slot++)
        if (held[slot].count)
            give_back(shared, held[slot].first, held[slot].count, worker->number);
    return NULL;
}

static void test_threads_never_get_the_same_block(void **state)
{
    struct shared *shared = calloc(1, sizeof(*shared));
    CHECK(shared);
    shared->blocks = blocks_of(*state);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = shared, .number = i + 1, .trims = i % 2};
        CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(blocks_taken(shared->blocks), 0);
    trim(shared->blocks);
    CHECK_EQ(stored_bytes(), 0);
    blocks_free(shared->blocks);
    free(shared);
}

struct trimmer {
    struct blocks *blocks;
    atomic_bool over;
};

static void *trim_on(void *context)
{
    struct trimmer *trimmer = context;
    while (!atomic_load(&trimmer->over))
        trim(trimmer->blocks);
    return NULL;
}

/*
 * Blocks that a trim holds while it punches them belong to no session, and are not counted as
 * taken.
 */
static void test_blocks_that_a_trim_borrows_are_not_counted(void **state)
{
    struct trimmer trimmer = {.blocks = blocks_of(*state)};
    block_t kept;
    CHECK_EQ(blocks_take(trimmer.blocks, 1, &kept), 1);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, trim_on, &trimmer), 0);
    for (int round = 0; round < ROUNDS; round++) {
        block_t first;
        int count = blocks_take(trimmer.blocks, 20, &first);
        CHECK(count > 0);
        write_block(trimmer.blocks, first);
        CHECK_EQ(blocks_taken(trimmer.blocks), 1 + count);
        blocks_release(trimmer.blocks, first, (uint32_t)count);
        CHECK_EQ(blocks_taken(trimmer.blocks), 1);
    }
    atomic_store(&trimmer.over, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    blocks_free(trimmer.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blocks_behave_like_a_set),
        TEST(test_a_trim_returns_storage),
        TEST(test_a_trim_that_fails_loses_nothing),
        TEST(test_a_trim_ends_with_its_budget),
        TEST(test_a_claim_takes_all_blocks_or_none),
        TEST(test_a_large_unclaimed_tail_costs_nothing),
        TEST(test_threads_never_get_the_same_block),
        TEST(test_blocks_that_a_trim_borrows_are_not_counted),
    };
    return cmocka_run_group_tests_name("overlay-blocks", tests, NULL, NULL);
}
