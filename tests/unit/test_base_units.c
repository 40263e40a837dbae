#include "tests/unit/support.h"

#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/units.h"

struct parse_case {
    const char *text;
    int error; /* 0: the value is as below */
    uint64_t value;
};

static void check_parse(int (*parse)(const char *text, uint64_t *ret_value),
                        const struct parse_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 77;
        support_context("\"%s\"", cases[i].text);
        CHECK_EQ(parse(cases[i].text, &value), cases[i].error);
        if (!cases[i].error)
            CHECK(value == cases[i].value);
    }
    support_context("%s", "");
}

static void test_numbers_are_decimal_digits_alone(void **state UNUSED)
{
    static const struct parse_case cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"0x1", -EINVAL, 0},
        {"1K", -EINVAL, 0},
    };
    check_parse(units_parse_number, cases, ARRAY_LENGTH(cases));
}

static void test_sizes_have_units_of_1024(void **state UNUSED)
{
    static const struct parse_case cases[] = {
        {"12", 0, 12},
        {"12B", 0, 12},
        {"1K", 0, 1 << 10},
        {"1k", 0, 1 << 10},
        {"1KB", 0, 1 << 10},
        {"1KiB", 0, 1 << 10},
        {"64M", 0, 64 << 20},
        {"2GiB", 0, UINT64_C(2) << 30},
        {"1T", 0, UINT64_C(1) << 40},
        {"16777214T", 0, UINT64_C(16777214) << 40},
        {"16777216T", -ERANGE, 0},
        {"99999999999999999999", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {"-1K", -EINVAL, 0},
        {"1X", -EINVAL, 0},
        {"1iB", -EINVAL, 0},
        {"1Ki", -EINVAL, 0},
        {"1 K", -EINVAL, 0},
        {"1KBB", -EINVAL, 0},
    };
    check_parse(units_parse_size, cases, ARRAY_LENGTH(cases));
}

static void test_sizes_with_a_unit_may_have_decimals(void **state UNUSED)
{
    static const struct parse_case cases[] = {
        {"1.5K", 0, 1536},
        {"1.5G", 0, UINT64_C(3) << 29},
        {"0.000001M", 0, 1},
        {"1.99999999999999999999K", 0, 2047}, /* digits after the sixth are ignored */
        {"1.5", -EINVAL, 0},
        {"1.5B", -EINVAL, 0},
        {"1.K", -EINVAL, 0},
        {".5K", -EINVAL, 0},
        {"1.5.5K", -EINVAL, 0},
    };
    check_parse(units_parse_size, cases, ARRAY_LENGTH(cases));
}

static void test_durations_are_seconds_without_a_unit(void **state UNUSED)
{
    static const struct parse_case cases[] = {
        {"90", 0, 90},
        {"90s", 0, 90},
        {"15m", 0, 900},
        {"24h", 0, 86400},
        {"14d", 0, 14 * 86400},
        {"213503982334601d", 0, UINT64_C(213503982334601) * 86400},
        {"213503982334602d", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"1w", -EINVAL, 0},
        {"1S", -EINVAL, 0},
        {"1.5h", -EINVAL, 0},
        {"1hs", -EINVAL, 0},
    };
    check_parse(units_parse_duration, cases, ARRAY_LENGTH(cases));
}

static void test_sizes_are_printed_with_one_decimal_below_100(void **state UNUSED)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {UINT64_C(4) << 20, "4.0 MiB"},
        {UINT64_C(100) << 10, "100 KiB"},
        {UINT64_C(3) << 29, "1.5 GiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    char text[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_string_equal(units_format_size(cases[i].bytes, text), cases[i].text);
}

static void test_only_one_is_singular(void **state UNUSED)
{
    char text[UNITS_TEXT_SIZE];
    assert_string_equal(units_format_count(0, "template", text), "0 templates");
    assert_string_equal(units_format_count(1, "template", text), "1 template");
    assert_string_equal(units_format_count(3, "template", text), "3 templates");
}

static void test_times_are_local(void **state UNUSED)
{
    const int64_t ns = INT64_C(1795356300) * 1000000000;
    char text[UNITS_TEXT_SIZE];
    CHECK_EQ(setenv("TZ", "UTC0", 1), 0);
    tzset();
    assert_string_equal(units_format_time(ns, text), "2026-11-22 14:05");
    CHECK_EQ(setenv("TZ", "EAST-2", 1), 0);
    tzset();
    assert_string_equal(units_format_time(ns, text), "2026-11-22 16:05");
    assert_string_equal(units_format_time(0, text), "-");
}

static void test_ages_count_from_now(void **state UNUSED)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {-100, "0 s"}, {5.5, "5 s"}, {200, "3 min"}, {7.5 * 3600, "7 h"}, {12.5 * 86400, "12 d"}};
    char text[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t ns = clock_real_ns() - (int64_t)(cases[i].seconds * 1e9);
        assert_string_equal(units_format_age(ns, text), cases[i].text);
    }
}

static void test_durations_are_printed_in_the_unit_that_fits(void **state UNUSED)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0.2, "0.2 s"}, {9.5, "9.5 s"}, {12, "12 s"}, {180, "3 min"}, {5400, "1.5 h"}};
    char text[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_string_equal(units_format_duration((int64_t)(cases[i].seconds * 1e9), text),
                            cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers_are_decimal_digits_alone),
        TEST(test_sizes_have_units_of_1024),
        TEST(test_sizes_with_a_unit_may_have_decimals),
        TEST(test_durations_are_seconds_without_a_unit),
        TEST(test_sizes_are_printed_with_one_decimal_below_100),
        TEST(test_only_one_is_singular),
        TEST(test_times_are_local),
        TEST(test_ages_count_from_now),
        TEST(test_durations_are_printed_in_the_unit_that_fits),
    };
    return cmocka_run_group_tests_name("base-units", tests, NULL, NULL);
}
