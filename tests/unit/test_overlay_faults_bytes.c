/*
 * Covers file_io, file_store, fallocate and attributes: every Nth call fails while bytes are read,
 * written and released; see support_faults.h.
 */
#include "tests/unit/support_faults.h"

#include <linux/falloc.h>

#include "fs/base/io.h"
#include "fs/overlay/overlay_internal.h"

static int act_copy_up(struct world *world)
{
    return write_large(world, 20000, 5001);
}

static int act_append(struct world *world)
{
    return write_large(world, 10000, 50001);
}

static int act_write_behind_the_end(struct world *world)
{
    return write_large(world, 10000, 70001);
}

static void store_the_tail(struct world *world)
{
    CHECK_EQ(write_large(world, 10, 49990), 0);
}

static int act_write_over_all(struct world *world)
{
    return write_large(world, 40000, 5001);
}

static int set_size(struct world *world, off_t size)
{
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    const struct stat to = {.st_size = size};
    r = node_set(node, &to, NODE_SET_SIZE);
    node_unref(node, 1);
    return r;
}

static int act_cut(struct world *world)
{
    return set_size(world, 20001);
}

static int act_lengthen(struct world *world)
{
    return set_size(world, 80001);
}

static void store_and_cut(struct world *world)
{
    store_some(world);
    CHECK_EQ(set_size(world, 35001), 0);
}

static int allocate(struct world *world, int mode)
{
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    r = file_allocate(node, mode, 5001, 50000);
    node_unref(node, 1);
    return r;
}

static int act_allocate(struct world *world)
{
    return allocate(world, 0);
}

static int act_punch(struct world *world)
{
    return allocate(world, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static int act_zero(struct world *world)
{
    return allocate(world, FALLOC_FL_ZERO_RANGE);
}

static int act_read(struct world *world)
{
    char bytes[50001];
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    r = file_open(node);
    if (r == 0) {
        ssize_t n = file_read(node, bytes, sizeof(bytes), 0);
        r = n < 0 ? (int)n : n == (ssize_t)sizeof(bytes) ? 0 : -EPROTO;
        file_close(node);
    }
    node_unref(node, 1);
    return r;
}

static void test_bytes(void **state)
{
    static const struct scene scenes[] = {
        {.name = "copy up", .act = act_copy_up},
        {.name = "append", .act = act_append},
        {.name = "append to a stored block", .prepare = store_the_tail, .act = act_append},
        {.name = "write behind the end",
         .prepare = store_the_tail,
         .act = act_write_behind_the_end},
        {.name = "write over all",
         .prepare = store_some,
         .act = act_write_over_all,
         .may_stop_halfway = true},
        {.name = "cut", .prepare = store_some, .act = act_cut},
        {.name = "cut what is unchanged", .act = act_cut},
        {.name = "lengthen", .prepare = store_and_cut, .act = act_lengthen},
        {.name = "allocate", .prepare = store_some, .act = act_allocate, .may_stop_halfway = true},
        {.name = "punch", .prepare = store_some, .act = act_punch, .may_stop_halfway = true},
        {.name = "zero", .prepare = store_some, .act = act_zero, .may_stop_halfway = true},
        {.name = "read", .prepare = store_some, .act = act_read, .changes_nothing = true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++)
        run_scene(*state, &scenes[i]);
}

/*
 * After a write that stops halfway each block is old or new. It can stop halfway only after its
 * record, since blocks are overwritten in place last.
 */
static void test_half_a_write(void **state)
{
    enum {
        IN_PLACE = 8
    }; /* calls: store_some() stores four runs in the range, each takes two (owners.h) */
    struct world world = {.place = *state};
    place_template(*state, fault_samples, ARRAY_LENGTH(fault_samples), world.key);
    fault_open(&world);
    AUTO_FREE char *before = malloc(50001);
    AUTO_FREE char *now = malloc(50001);
    CHECK(before && now);
    unsigned long all_calls = 0; /* of a write that succeeds; the first only counts them */
    for (unsigned long nth = 0; nth <= all_calls; nth++) {
        support_context("call %lu", nth);
        world.root = session_made(world.scratch, world.key, "s");
        store_some(&world);
        struct node *node = node_there(world.root, "large");
        CHECK_EQ(file_read(node, before, 50001, 0), 50001);
        char bytes[40000];
        memset(bytes, 'x', sizeof(bytes));
        io_fault_arm(nth, nth ? EIO : -1, IO_FAULT_FROM_THEN_ON);
        int r = file_write(node, bytes, sizeof(bytes), 5001);
        if (nth == 0)
            all_calls = io_fault_count();
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        CHECK_EQ(r, nth ? -EIO : 0);
        CHECK_EQ(file_read(node, now, 50001, 0), 50001);
        if (nth > 0 && nth <= all_calls - IN_PLACE)
            CHECK(!memcmp(now, before, 50001));
        for (size_t at = 0; at < 50001; at += BLOCK_SIZE_BYTES) {
            size_t size = 50001 - at < BLOCK_SIZE_BYTES ? 50001 - at : BLOCK_SIZE_BYTES;
            bool same = !memcmp(now + at, before + at, size);
            for (size_t i = at; !same && i < at + size; i++)
                CHECK_EQ(now[i], i >= 5001 && i < 45001 ? 'x' : before[i]);
        }
        node_unref(node, 1);
        fault_discard(&world);
    }
    CHECK(all_calls > IN_PLACE);
    fault_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes),
        TEST(test_half_a_write),
    };
    return cmocka_run_group_tests_name("overlay-faults-bytes", tests, NULL, NULL);
}
