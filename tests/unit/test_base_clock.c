#include "tests/unit/support.h"

#include "fs/base/clock.h"

static void test_monotonic_time_does_not_go_back(void **state UNUSED)
{
    int64_t before_ns = clock_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = clock_monotonic_ns();
        CHECK(now_ns >= before_ns);
        before_ns = now_ns;
    }
    CHECK(clock_monotonic_coarse_ns() <= clock_monotonic_ns());
    CHECK(clock_real_coarse_ns() <= clock_real_ns());
}

static void test_a_deadline_is_as_far_away_as_was_asked(void **state UNUSED)
{
    int64_t before_ns = clock_monotonic_ns();
    struct timespec deadline = clock_monotonic_after(3 * NS_PER_S / 2);
    int64_t deadline_ns = deadline.tv_sec * NS_PER_S + deadline.tv_nsec;
    CHECK(deadline_ns >= before_ns + 3 * NS_PER_S / 2);
    CHECK(deadline_ns <= clock_monotonic_ns() + 3 * NS_PER_S / 2);
}

static void test_times_before_1970_have_positive_nanoseconds(void **state UNUSED)
{
    static const struct {
        int64_t ns;
        int64_t seconds;
        long rest_ns;
    } times[] = {{0, 0, 0},
                 {1, 0, 1},
                 {-1, -1, 999999999},
                 {-NS_PER_S, -1, 0},
                 {-NS_PER_S - 1, -2, 999999999},
                 {5 * NS_PER_S + 2, 5, 2}};
    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        struct timespec time = clock_to_timespec(times[i].ns);
        CHECK_EQ(time.tv_sec, times[i].seconds);
        CHECK_EQ(time.tv_nsec, times[i].rest_ns);
        CHECK_EQ(clock_from_timespec(&time), times[i].ns);
    }
}

static void test_times_out_of_range_become_the_nearest_that_fits(void **state UNUSED)
{
    const struct timespec late = {.tv_sec = INT64_MAX};
    const struct timespec early = {.tv_sec = INT64_MIN};
    CHECK_EQ(clock_from_timespec(&late), INT64_MAX);
    CHECK_EQ(clock_from_timespec(&early), INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_monotonic_time_does_not_go_back),
        TEST(test_a_deadline_is_as_far_away_as_was_asked),
        TEST(test_times_before_1970_have_positive_nanoseconds),
        TEST(test_times_out_of_range_become_the_nearest_that_fits),
    };
    return cmocka_run_group_tests_name("base-clock", tests, NULL, NULL);
}
