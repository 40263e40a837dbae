#include "tests/unit/support.h"

#include "fs/overlay/blockmap.h"

/*
 * The model: windows of plain arrays, at both ends of what can be numbered and where the tree
 * grows a level. Between them nothing is ever set.
 */
enum { WINDOW = 700, WINDOWS = 6 };
static const fileblock_t window_at[WINDOWS] = {0,
                                               (1 << 12) - WINDOW / 2,
                                               (1 << 16) - WINDOW / 2,
                                               (1 << 24) - WINDOW / 2,
                                               (fileblock_t)1 << 30,
                                               BLOCK_LIMIT - WINDOW};

struct model {
    struct blockmap map;
    block_t block[WINDOWS][WINDOW];
    unsigned windows; /* in use: the fewer, the lower the tree */
};

static block_t *model_place(struct model *model, fileblock_t at)
{
    for (unsigned w = 0; w < WINDOWS; w++)
        if (at >= window_at[w] && at - window_at[w] < WINDOW)
            return &model->block[w][at - window_at[w]];
    return NULL;
}

static block_t model_get(struct model *model, fileblock_t at)
{
    const block_t *place = model_place(model, at);
    return place ? *place : BLOCK_ABSENT;
}

static bool continues(block_t first, block_t block, uint32_t distance)
{
    return first >= BLOCK_LIMIT ? block == first : block == first + distance;
}

/* A random range within a window. */
static void pick(const struct model *model, struct rng *rng, fileblock_t *ret_at,
                 uint32_t *ret_count)
{
    unsigned w = (unsigned)rng_below(rng, model->windows);
    uint32_t from = (uint32_t)rng_below(rng, WINDOW);
    *ret_at = window_at[w] + from;
    *ret_count = 1 + (uint32_t)rng_below(rng, rng_chance(rng, 20) ? WINDOW - from : 9);
    if (*ret_count > WINDOW - from)
        *ret_count = WINDOW - from;
}

static void do_set(struct model *model, struct rng *rng)
{
    fileblock_t at;
    uint32_t count;
    pick(model, rng, &at, &count);
    block_t block = (block_t)rng_below(rng, 4096);
    switch (rng_below(rng, 8)) {
    case 0:
        block = BLOCK_ZERO;
        break;
    case 1:
        block = BLOCK_ABSENT;
        break;
    case 2:
        block = BLOCK_LIMIT - count;
        break;
    default:
        break;
    }
    /* Absence needs no room. */
    if (block != BLOCK_ABSENT || rng_chance(rng, 50))
        CHECK_EQ(blockmap_reserve(&model->map, at, count), 0);
    blockmap_set(&model->map, at, count, block);
    for (uint32_t i = 0; i < count; i++)
        *model_place(model, at + i) = block >= BLOCK_LIMIT ? block : block + i;
}

static void do_cut(struct model *model, struct rng *rng)
{
    fileblock_t from;
    uint32_t count;
    pick(model, rng, &from, &count);
    if (rng_chance(rng, 5))
        from = 0;
    if (rng_chance(rng, 10))
        from += WINDOW;
    blockmap_cut(&model->map, from);
    for (unsigned w = 0; w < WINDOWS; w++)
        for (uint32_t i = 0; i < WINDOW; i++)
            if (window_at[w] + i >= from)
                model->block[w][i] = BLOCK_ABSENT;
}

static void check_run(struct model *model, struct rng *rng)
{
    fileblock_t at;
    uint32_t count;
    pick(model, rng, &at, &count);
    uint32_t limit = 1 + (uint32_t)rng_below(rng, 2 * WINDOW);
    if (limit > BLOCK_LIMIT - at)
        limit = BLOCK_LIMIT - at;
    block_t block;
    uint32_t run = blockmap_run(&model->map, at, limit, &block);
    CHECK_EQ(block, model_get(model, at));
    CHECK_EQ(blockmap_get(&model->map, at), block);
    uint32_t expected = 0;
    while (expected < limit && continues(block, model_get(model, at + expected), expected))
        expected++;
    CHECK_EQ(run, expected);
}

struct listing {
    struct model *model;
    uint64_t next; /* all before is seen */
};

static void see_run(fileblock_t at, uint32_t count, block_t block, void *context)
{
    struct listing *listing = context;
    CHECK(at >= listing->next && count > 0 && block != BLOCK_ABSENT);
    for (uint32_t i = 0; i < count; i++)
        CHECK_EQ(model_get(listing->model, at + i), block >= BLOCK_LIMIT ? block : block + i);
    /* Nothing was left out before it, and it could not have been longer. */
    for (unsigned w = 0; w < WINDOWS; w++)
        for (uint32_t i = 0; i < WINDOW; i++)
            if (window_at[w] + i >= listing->next && window_at[w] + i < at)
                CHECK_EQ(listing->model->block[w][i], BLOCK_ABSENT);
    if ((uint64_t)at + count < BLOCK_LIMIT)
        CHECK(model_get(listing->model, at + count) == BLOCK_ABSENT ||
              !continues(block, model_get(listing->model, at + count), count));
    listing->next = (uint64_t)at + count;
}

static void check_each(struct model *model, struct rng *rng)
{
    fileblock_t from;
    uint32_t count;
    pick(model, rng, &from, &count);
    if (rng_chance(rng, 30))
        from = 0;
    struct listing listing = {.model = model, .next = from};
    blockmap_each(&model->map, from, see_run, &listing);
    for (unsigned w = 0; w < WINDOWS; w++)
        for (uint32_t i = 0; i < WINDOW; i++)
            if (window_at[w] + i >= listing.next)
                CHECK_EQ(model->block[w][i], BLOCK_ABSENT);
}

static void run_model(struct rng *rng, void *context UNUSED)
{
    struct model *model = calloc(1, sizeof(*model));
    CHECK(model);
    memset(model->block, 0xff, sizeof(model->block));
    model->windows = 1 + (unsigned)rng_below(rng, WINDOWS);
    for (int i = 0; i < 4000; i++) {
        if (rng_chance(rng, 90))
            do_set(model, rng);
        else if (rng_chance(rng, 30))
            do_cut(model, rng);
        check_run(model, rng);
        if (i % 64 == 0)
            check_each(model, rng);
    }
    blockmap_free(&model->map);
    CHECK(!model->map.root && !model->map.height);
    free(model);
}

static void test_a_map_behaves_like_an_array(void **state UNUSED)
{
    support_each_seed(12, run_model, NULL);
}

static void see_nothing(fileblock_t at UNUSED, uint32_t count UNUSED, block_t block UNUSED,
                        void *context)
{
    ++*(unsigned *)context;
}

/* Sixteen TiB of nothing must not take the time of sixteen TiB: this is far too slow block by
 * block, and leaf by leaf. */
static void test_absent_runs_of_any_length_are_found(void **state UNUSED)
{
    struct blockmap map = {0};
    block_t block;
    unsigned runs = 0;
    CHECK_EQ(blockmap_run(&map, 0, BLOCK_LIMIT, &block), BLOCK_LIMIT);
    CHECK_EQ(block, BLOCK_ABSENT);
    CHECK_EQ(blockmap_reserve(&map, BLOCK_LIMIT - 1, 1), 0);
    blockmap_set(&map, BLOCK_LIMIT - 1, 1, 7);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(blockmap_run(&map, 1, BLOCK_LIMIT - 1, &block), BLOCK_LIMIT - 2);
        blockmap_set(&map, 0, BLOCK_LIMIT - 1, BLOCK_ABSENT);
        blockmap_cut(&map, BLOCK_LIMIT - 1);
        CHECK_EQ(blockmap_reserve(&map, BLOCK_LIMIT - 1, 1), 0);
        blockmap_set(&map, BLOCK_LIMIT - 1, 1, 7);
    }
    blockmap_each(&map, 1, see_nothing, &runs);
    CHECK_EQ(runs, 1);
    blockmap_set(&map, 0, BLOCK_LIMIT, BLOCK_ABSENT);
    CHECK_EQ(blockmap_get(&map, BLOCK_LIMIT - 1), BLOCK_ABSENT);
    blockmap_each(&map, 1, see_nothing, &runs);
    CHECK_EQ(runs, 1);
    blockmap_free(&map);
    blockmap_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_map_behaves_like_an_array),
        TEST(test_absent_runs_of_any_length_are_found),
    };
    return cmocka_run_group_tests_name("overlay-blockmap", tests, NULL, NULL);
}
