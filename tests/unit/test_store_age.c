#include "tests/unit/test_store_fixture.h"

#include "fs/store/age.h"

static const int64_t hour = (int64_t)3600 * 1000000000;
static const int64_t day = (int64_t)24 * 3600 * 1000000000;
static const int64_t then = (int64_t)1700000000 * 1000000000;

static void expect(struct age_clock *clock, int64_t now, int64_t use, int64_t counted, bool doubt)
{
    struct age_reading reading = age_read(clock, now);
    assert_int_equal(reading.use_ns, use);
    assert_int_equal(reading.now_ns, counted);
    assert_int_equal(reading.is_in_doubt, doubt);
}

static void test_a_clock_that_advances_is_accepted(void **state UNUSED)
{
    struct age_clock clock = {0};
    expect(&clock, then, then, then, false);
    expect(&clock, then + day, then + day, then + day, false);
    expect(&clock, then + day / 2, then + day / 2, then + day / 2, false);
}

static void test_a_jump_ahead_makes_nothing_older(void **state UNUSED)
{
    struct age_clock clock = {.accepted_ns = then};
    expect(&clock, then + 40 * day, then, then, true);
    expect(&clock, then + 40 * day + hour / 2, then, then, true);
    /* And back to the right time. */
    expect(&clock, then + hour, then + hour, then + hour, false);
    expect(&clock, then + 40 * day + 2 * hour, then + hour, then + hour, true);
}

static void test_a_second_reading_confirms_a_jump(void **state UNUSED)
{
    struct age_clock clock = {.accepted_ns = then};
    expect(&clock, then + 40 * day, then, then, true);
    expect(&clock, then + 40 * day + hour, then + 40 * day + hour, then + 40 * day + hour, false);
    assert_int_equal(clock.doubted_ns, 0);
}

static void test_a_store_that_is_used_once_a_week_still_ages(void **state UNUSED)
{
    struct age_clock clock = {.accepted_ns = then};
    expect(&clock, then + 7 * day, then, then, true);
    expect(&clock, then + 14 * day, then + 14 * day, then + 14 * day, false);
    expect(&clock, then + 21 * day, then + 14 * day, then + 14 * day, true);
}

static void test_a_clock_that_starts_at_1970_is_in_doubt(void **state UNUSED)
{
    struct age_clock clock = {.accepted_ns = then};
    expect(&clock, 5 * hour, then, 5 * hour, true);
    expect(&clock, -day, then, 1, true);
    expect(&clock, 1, then, 1, true);
    /* A reading does not confirm one in doubt that is half a century away. */
    expect(&clock, then + 40 * day, then, then, true);
    expect(&clock, then + hour, then + hour, then + hour, false);
}

static void test_a_wrong_clock_that_was_accepted_is_corrected(void **state UNUSED)
{
    struct age_clock clock = {.accepted_ns = then + 40 * day};
    expect(&clock, then, then + 40 * day, then, true);
    expect(&clock, then + 2 * hour, then + 2 * hour, then + 2 * hour, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_that_advances_is_accepted),
        cmocka_unit_test(test_a_jump_ahead_makes_nothing_older),
        cmocka_unit_test(test_a_second_reading_confirms_a_jump),
        cmocka_unit_test(test_a_store_that_is_used_once_a_week_still_ages),
        cmocka_unit_test(test_a_clock_that_starts_at_1970_is_in_doubt),
        cmocka_unit_test(test_a_wrong_clock_that_was_accepted_is_corrected),
    };
    return cmocka_run_group_tests_name("store-age", tests, NULL, NULL);
}
