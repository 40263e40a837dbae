#include "tests/unit/support.h"

#include "fs/base/search.h"

struct wanted {
    const int *items;
    int value;
};

static bool is_before(size_t index, const void *context)
{
    const struct wanted *wanted = context;
    return wanted->items[index] < wanted->value;
}

static void test_the_first_item_that_is_not_before_is_found(void **state UNUSED)
{
    static const int items[] = {1, 3, 3, 3, 7, 9};
    static const struct {
        int value;
        size_t index;
    } cases[] = {{0, 0}, {1, 0}, {2, 1}, {3, 1}, {4, 4}, {7, 4}, {8, 5}, {9, 5}, {10, 6}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct wanted wanted = {items, cases[i].value};
        CHECK_EQ(lower_bound(0, ARRAY_LENGTH(items), is_before, &wanted), cases[i].index);
    }
}

static void test_a_part_of_the_items_is_searched_alone(void **state UNUSED)
{
    static const int items[] = {1, 3, 5, 7};
    const struct wanted three = {items, 3};
    const struct wanted nine = {items, 9};
    CHECK_EQ(lower_bound(2, 4, is_before, &three), 2);
    CHECK_EQ(lower_bound(0, 3, is_before, &nine), 3);
    CHECK_EQ(lower_bound(2, 2, is_before, &nine), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_first_item_that_is_not_before_is_found),
        TEST(test_a_part_of_the_items_is_searched_alone),
    };
    return cmocka_run_group_tests_name("base-search", tests, NULL, NULL);
}
