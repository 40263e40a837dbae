#include "tests/unit/support.h"

#include "fs/base/json_bounds.h"

/* Checks a copy that ends where the text ends, so that AddressSanitizer sees a read behind it. */
static bool is_within(const char *text, struct json_bounds bounds)
{
    size_t size = strlen(text);
    AUTO_FREE char *copy = malloc(size + 1);
    CHECK(copy);
    char *exact = copy + 1;
    memcpy(exact, text, size);
    support_context("%s", text);
    return json_is_within(exact, size, &bounds);
}

static const struct json_bounds none = {.values = 0, .objects = 0, .arrays = 0};

static void test_a_text_at_its_bounds_is_within_them(void **state UNUSED)
{
    CHECK(is_within("{}", (struct json_bounds){.values = 1, .objects = 1}));
    CHECK(is_within("[1,2,3]", (struct json_bounds){.values = 4, .arrays = 1}));
    CHECK(is_within("[{}, {}, [7]]", (struct json_bounds){.values = 5, .objects = 2, .arrays = 2}));
}

static void test_one_object_above_the_bound_is_refused(void **state UNUSED)
{
    static const char text[] = "[{}, {\"a\": {}}]";
    CHECK(is_within(text, (struct json_bounds){.values = 100, .objects = 3, .arrays = 100}));
    CHECK(!is_within(text, (struct json_bounds){.values = 100, .objects = 2, .arrays = 100}));
    CHECK(!is_within("{}", (struct json_bounds){.values = 100, .arrays = 100}));
}

static void test_one_array_above_the_bound_is_refused(void **state UNUSED)
{
    static const char text[] = "{\"a\": [[1], [2]]}";
    CHECK(is_within(text, (struct json_bounds){.values = 100, .objects = 100, .arrays = 3}));
    CHECK(!is_within(text, (struct json_bounds){.values = 100, .objects = 100, .arrays = 2}));
    CHECK(!is_within("[]", (struct json_bounds){.values = 100, .objects = 100}));
}

static void test_brackets_count_before_they_are_closed(void **state UNUSED)
{
    CHECK(!is_within("[[[", (struct json_bounds){.values = 100, .arrays = 2}));
    CHECK(!is_within("{{{", (struct json_bounds){.values = 100, .objects = 2}));
}

static void test_values_of_all_kinds_share_one_bound(void **state UNUSED)
{
    static const char text[] = "[1, \"x\", null, true, {\"a\": 0}]";
    CHECK(is_within(text, (struct json_bounds){.values = 7, .objects = 9, .arrays = 9}));
    CHECK(!is_within(text, (struct json_bounds){.values = 5, .objects = 9, .arrays = 9}));
}

static void test_members_of_objects_count_as_values(void **state UNUSED)
{
    CHECK(!is_within("{\"a\":1,\"b\":2,\"c\":3}", (struct json_bounds){.values = 2, .objects = 1}));
}

static void test_what_is_inside_a_string_does_not_count(void **state UNUSED)
{
    CHECK(is_within("\"{[,:{[\"", none));
    CHECK(is_within("\"a\\\"{[,\"", none));
    CHECK(is_within("\"a\\\\\\\"{[,\"", none));
}

static void test_a_string_ends_at_the_first_quote_without_a_backslash(void **state UNUSED)
{
    CHECK(!is_within("\"\"{", none));
    CHECK(!is_within("\"a\\\\\"{", none));
    CHECK(!is_within("\"\\\"\"{", none));
}

static void test_a_string_without_an_end_reaches_to_the_end(void **state UNUSED)
{
    CHECK(is_within("\"", none));
    CHECK(is_within("\"{[,", none));
    CHECK(is_within("\"{\\", none));
    CHECK(is_within("\"{\\\"", none));
}

static void test_only_the_given_size_is_read(void **state UNUSED)
{
    static const char text[] = "1{[";
    support_context("%s", "");
    CHECK(json_is_within(text, 1, &none));
    CHECK(!json_is_within(text, 2, &none));
    CHECK(json_is_within(text, 0, &none));
}

static void test_a_zero_byte_does_not_end_the_text(void **state UNUSED)
{
    static const char text[] = " \0{";
    support_context("%s", "");
    CHECK(!json_is_within(text, sizeof(text) - 1, &none));
}

static void test_the_caller_keeps_its_bounds(void **state UNUSED)
{
    const struct json_bounds bounds = {.values = 3, .objects = 1, .arrays = 1};
    struct json_bounds given = bounds;
    static const char text[] = "[{},1]";
    support_context("%s", "");
    for (int i = 0; i < 3; i++)
        CHECK(json_is_within(text, sizeof(text) - 1, &given));
    CHECK(memcmp(&given, &bounds, sizeof(bounds)) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_text_at_its_bounds_is_within_them),
        TEST(test_one_object_above_the_bound_is_refused),
        TEST(test_one_array_above_the_bound_is_refused),
        TEST(test_brackets_count_before_they_are_closed),
        TEST(test_values_of_all_kinds_share_one_bound),
        TEST(test_members_of_objects_count_as_values),
        TEST(test_what_is_inside_a_string_does_not_count),
        TEST(test_a_string_ends_at_the_first_quote_without_a_backslash),
        TEST(test_a_string_without_an_end_reaches_to_the_end),
        TEST(test_only_the_given_size_is_read),
        TEST(test_a_zero_byte_does_not_end_the_text),
        TEST(test_the_caller_keeps_its_bounds),
    };
    return cmocka_run_group_tests_name("base-json-bounds", tests, NULL, NULL);
}
