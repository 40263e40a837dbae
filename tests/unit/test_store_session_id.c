#include "tests/unit/support.h"

#include "fs/store/session_id.h"

static void test_ids_are_short_and_plain(void **state UNUSED)
{
    char longest[SESSION_ID_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[SESSION_ID_MAX] = '\0';
    CHECK(session_id_is_valid(longest));
    longest[SESSION_ID_MAX] = 'x';
    longest[SESSION_ID_MAX + 1] = '\0';
    CHECK(!session_id_is_valid(longest));
    CHECK(session_id_is_valid("a") && session_id_is_valid("-") && session_id_is_valid("A_z.0-9"));
    static const char *const invalid[] = {"", ".", "..", ".a", "a/b", "a b", "a\n", "\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_LENGTH(invalid); i++)
        CHECK(!session_id_is_valid(invalid[i]));
}

static void test_an_id_can_name_its_owner(void **state UNUSED)
{
    CHECK_EQ(session_id_owner("test.pid-4711"), 4711);
    CHECK_EQ(session_id_owner("a.pid-1.pid-2"), 2);
    CHECK_EQ(session_id_owner("x.pid-999999999"), 999999999);
    static const char *const none[] = {"",          "test",     "pid-1",
                                       "a.pid-",    "a.pid-1x", "a.pid--1",
                                       "a.pid-1.b", "a.PID-1",  "a.pid-1000000000"};
    for (size_t i = 0; i < ARRAY_LENGTH(none); i++)
        CHECK_EQ(session_id_owner(none[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_short_and_plain),
        cmocka_unit_test(test_an_id_can_name_its_owner),
    };
    return cmocka_run_group_tests_name("store-session-id", tests, NULL, NULL);
}
