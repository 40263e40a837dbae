#include "tests/unit/support.h"

#include "fs/base/strlist.h"

static void check_items(const struct strlist *list, size_t count, const char *const *expected)
{
    CHECK_EQ(list->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list->items[i], expected[i]);
    CHECK(!list->items[count]);
}

static void test_items_end_with_null(void **state UNUSED)
{
    AUTO_STRLIST struct strlist list = STRLIST_INIT;
    CHECK(!list.items);
    char name[16];
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "%zu", i);
        CHECK_EQ(strlist_add(&list, name), 0);
        CHECK_EQ(list.count, i + 1);
        assert_string_equal(list.items[i], name);
        CHECK(!list.items[i + 1]);
    }
}

static void test_a_missing_text_is_refused(void **state UNUSED)
{
    AUTO_STRLIST struct strlist list = STRLIST_INIT;
    CHECK_EQ(strlist_take(&list, NULL), -ENOMEM);
    CHECK_EQ(list.count, 0);
}

static void test_order_is_that_of_bytes(void **state UNUSED)
{
    static const char *const unsorted[] = {"b", "B", "\xc3\xa4", "a", "", "ab"};
    static const char *const sorted[] = {"", "B", "a", "ab", "b", "\xc3\xa4"};
    AUTO_STRLIST struct strlist list = STRLIST_INIT;
    strlist_sort(&list);
    for (size_t i = 0; i < ARRAY_LENGTH(unsorted); i++)
        CHECK_EQ(strlist_add(&list, unsorted[i]), 0);
    strlist_sort(&list);
    check_items(&list, ARRAY_LENGTH(sorted), sorted);
}

static void test_contains_compares_whole_texts(void **state UNUSED)
{
    AUTO_STRLIST struct strlist list = STRLIST_INIT;
    CHECK(!strlist_contains(&list, ""));
    CHECK_EQ(strlist_add(&list, "one"), 0);
    CHECK(strlist_contains(&list, "one"));
    CHECK(!strlist_contains(&list, "on") && !strlist_contains(&list, "ones"));
}

static void test_a_copied_vector_is_independent(void **state UNUSED)
{
    char first[] = "one";
    char second[] = "two";
    char *const words[] = {first, second, NULL};
    char **copy = strv_copy(words);
    CHECK(copy);
    first[0] = 'X';
    CHECK_EQ(strv_length(copy), 2);
    assert_string_equal(copy[0], "one");
    assert_string_equal(copy[1], "two");
    strv_free(copy);
    CHECK_EQ(strv_length(NULL), 0);
    char **empty = strv_copy(NULL);
    CHECK(empty && !empty[0]);
    strv_free(empty);
    strv_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_items_end_with_null),
        TEST(test_a_missing_text_is_refused),
        TEST(test_order_is_that_of_bytes),
        TEST(test_contains_compares_whole_texts),
        TEST(test_a_copied_vector_is_independent),
    };
    return cmocka_run_group_tests_name("base-strlist", tests, NULL, NULL);
}
