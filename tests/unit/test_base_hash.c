/*
 * Hash tables without memory: an element is left out and reported, and the table stays whole.
 */
#include "fs/base/hash.h"

#include "fs/base/io.h"
#include "tests/unit/support.h"

enum { ELEMENTS = 2000 };

struct element {
    int number;
    UT_hash_handle hh;
};

/* How many of the elements went in. */
static int add_all(struct element **table, struct element *elements)
{
    int added = 0;
    for (int i = 0; i < ELEMENTS; i++) {
        struct element *element = &elements[i];
        if (element->hh.tbl)
            continue;
        element->number = i;
        HASH_ADD_INT(*table, number, element);
        added += HASH_ADDED(element);
    }
    return added;
}

static void check_table(struct element *table, struct element *elements, unsigned count)
{
    CHECK_EQ(HASH_COUNT(table), count);
    for (int i = 0; i < ELEMENTS; i++) {
        struct element *found;
        HASH_FIND_INT(table, &i, found);
        CHECK(found == (HASH_ADDED(&elements[i]) ? &elements[i] : NULL));
    }
}

static void test_what_has_no_room_is_left_out(void **state UNUSED)
{
    static struct element elements[ELEMENTS];
    unsigned long nth = 0;
    bool failed;
    do {
        struct element *table = NULL;
        memset(elements, 0, sizeof(elements));
        nth++;
        io_fault_arm(nth, ENOMEM, nth % 2);
        int added = add_all(&table, elements);
        failed = io_fault_count() >= nth;
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        CHECK_EQ(failed, added < ELEMENTS);
        check_table(table, elements, (unsigned)added);
        /* With memory they go in after all. */
        CHECK_EQ(add_all(&table, elements), ELEMENTS - added);
        check_table(table, elements, ELEMENTS);
        HASH_CLEAR(hh, table);
        CHECK(nth < 100);
    } while (failed);
    CHECK(nth > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_has_no_room_is_left_out),
    };
    return cmocka_run_group_tests_name("base-table", tests, NULL, NULL);
}
