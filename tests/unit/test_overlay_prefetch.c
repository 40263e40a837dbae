#include "tests/unit/support.h"

#include "fs/overlay/prefetch.h"

static size_t picked(struct prefetch *prefetch)
{
    fileblock_t blocks[PREFETCH_BLOCKS_MAX];
    size_t count = prefetch_pick(prefetch, blocks);
    for (size_t i = 1; i < count; i++)
        assert_true(blocks[i - 1] < blocks[i]);
    return count;
}

static void test_a_block_that_two_sessions_read_is_expected(void **state UNUSED)
{
    struct prefetch *prefetch = prefetch_new();
    assert_int_equal(picked(prefetch), 0);
    prefetch_note(prefetch, 7, 2);
    assert_int_equal(picked(prefetch), 0); /* one session is no pattern */
    prefetch_note(prefetch, 7, 2);
    prefetch_note(prefetch, 3, 1);
    fileblock_t blocks[PREFETCH_BLOCKS_MAX];
    assert_int_equal(prefetch_pick(prefetch, blocks), 2);
    assert_int_equal(blocks[0], 7);
    assert_int_equal(blocks[1], 8);
    prefetch_free(prefetch);
}

/* Never asked for again: it ends; asked for again: it lasts ever longer. */
static void test_a_promise_ends(void **state UNUSED)
{
    struct prefetch *prefetch = prefetch_new();
    unsigned first = 0;
    unsigned second = 0;
    for (int i = 0; i < 2; i++) {
        (void)picked(prefetch);
        prefetch_note(prefetch, 5, 1);
    }
    while (picked(prefetch))
        assert_true(++first < 1000);
    assert_true(first > 0);
    prefetch_note(prefetch, 5, 1);
    while (picked(prefetch))
        assert_true(++second < 1000);
    assert_true(second > first);
    for (int i = 0; i < 10; i++)
        assert_int_equal(picked(prefetch), 0);
    prefetch_note(prefetch, 5, 1); /* forgotten by now: it starts again */
    assert_int_equal(picked(prefetch), 0);
    prefetch_free(prefetch);
}

static void test_scans_and_too_many_blocks_are_ignored(void **state UNUSED)
{
    struct prefetch *prefetch = prefetch_new();
    for (int i = 0; i < 3; i++) {
        (void)picked(prefetch);
        prefetch_note(prefetch, 0, 32);
    }
    assert_int_equal(picked(prefetch), 0);
    for (int i = 0; i < 3; i++) {
        (void)picked(prefetch);
        for (fileblock_t block = 0; block < 10000; block += 3)
            prefetch_note(prefetch, block, 1);
    }
    assert_int_equal(picked(prefetch), PREFETCH_BLOCKS_MAX);
    prefetch_free(prefetch);
}

static void test_nothing_is_known_without_memory(void **state UNUSED)
{
    fileblock_t blocks[PREFETCH_BLOCKS_MAX];
    prefetch_note(NULL, 1, 1);
    assert_int_equal(prefetch_pick(NULL, blocks), 0);
    prefetch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_that_two_sessions_read_is_expected),
        cmocka_unit_test(test_a_promise_ends),
        cmocka_unit_test(test_scans_and_too_many_blocks_are_ignored),
        cmocka_unit_test(test_nothing_is_known_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
