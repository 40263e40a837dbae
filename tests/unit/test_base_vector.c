#include "tests/unit/support.h"

#include <stdint.h>

#include "fs/base/vector.h"

static void test_items_stay_in_order_while_the_array_grows(void **state UNUSED)
{
    VECTOR(size_t) numbers = {0};
    for (size_t i = 0; i < 1000; i++)
        CHECK_EQ(vector_push(&numbers, i * i), 0);
    CHECK_EQ(numbers.count, 1000);
    for (size_t i = 0; i < numbers.count; i++)
        CHECK_EQ(numbers.items[i], i * i);
    vector_fini(&numbers);
    CHECK(!numbers.items);
    CHECK_EQ(numbers.count, 0);
    CHECK_EQ(vector_push(&numbers, 7), 0);
    CHECK_EQ(numbers.items[0], 7);
    vector_fini(&numbers);
}

static void test_reserved_room_is_there_at_once(void **state UNUSED)
{
    VECTOR(char) bytes = {0};
    CHECK_EQ(vector_reserve(&bytes, 5000), 0);
    char *before = bytes.items;
    for (size_t i = 0; i < 5000; i++)
        CHECK_EQ(vector_push(&bytes, 'x'), 0);
    CHECK(bytes.items == before);
    vector_fini(&bytes);
}

static void test_what_memory_cannot_hold_changes_nothing(void **state UNUSED)
{
    VECTOR(uint64_t) numbers = {0};
    CHECK_EQ(vector_push(&numbers, 1), 0);
    CHECK_EQ(vector_reserve(&numbers, SIZE_MAX), -ENOMEM);
    CHECK_EQ(vector_reserve(&numbers, SIZE_MAX / sizeof(uint64_t)), -ENOMEM);
    CHECK_EQ(numbers.count, 1);
    CHECK_EQ(numbers.items[0], 1);
    vector_fini(&numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_items_stay_in_order_while_the_array_grows),
        TEST(test_reserved_room_is_there_at_once),
        TEST(test_what_memory_cannot_hold_changes_nothing),
    };
    return cmocka_run_group_tests_name("base-vector", tests, NULL, NULL);
}
