#include "tests/unit/support.h"

#include "fs/store/lock_names.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_a_key_has_a_lock_for_builds_and_one_for_use(void **state UNUSED)
{
    char name[KEY_LOCK_NAME_SIZE];
    lock_name_for_build(KEY, name);
    assert_string_equal(name, "build-" KEY);
    lock_name_for_use(KEY, name);
    assert_string_equal(name, "use-" KEY);
}

static void test_the_name_gives_back_the_key(void **state UNUSED)
{
    char name[KEY_LOCK_NAME_SIZE];
    lock_name_for_build(KEY, name);
    CHECK(lock_name_build_key(name) == name + strlen("build-"));
    assert_string_equal(lock_name_build_key(name), KEY);
    lock_name_for_use(KEY, name);
    CHECK(lock_name_use_key(name) == name + strlen("use-"));
    assert_string_equal(lock_name_use_key(name), KEY);
}

static void test_a_lock_of_one_kind_has_no_key_of_the_other(void **state UNUSED)
{
    CHECK(!lock_name_use_key("build-" KEY));
    CHECK(!lock_name_build_key("use-" KEY));
    CHECK(!lock_name_build_key("mount"));
    CHECK(!lock_name_use_key(KEY));
}

static void test_the_locks_of_the_table_are_known(void **state UNUSED)
{
    static const char *const names[] = {"mount",    "mounting", "gc",  "build-" KEY,
                                        "use-" KEY, "catalog",  "pins"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        support_context("%s", names[i]);
        CHECK(lock_name_is_known(names[i]));
    }
    support_context("%s", "");
}

static void test_other_names_are_no_locks(void **state UNUSED)
{
    static const char *const names[] = {
        "",          "mounts",     "moun",       "MOUNT",        " gc",
        "build-",    "use-",       "build-0123", "use-" KEY "0", "use-" KEY ".tmp",
        "build" KEY, "Build-" KEY, KEY,          "xbuild-" KEY,  "use-build-" KEY};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        support_context("%s", names[i]);
        CHECK(!lock_name_is_known(names[i]));
        CHECK(!lock_name_build_key(names[i]));
        CHECK(!lock_name_use_key(names[i]));
    }
    support_context("%s", "");
}

static void test_a_key_in_upper_case_is_no_key(void **state UNUSED)
{
    CHECK(!lock_name_is_known(
        "use-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_has_a_lock_for_builds_and_one_for_use),
        TEST(test_the_name_gives_back_the_key),
        TEST(test_a_lock_of_one_kind_has_no_key_of_the_other),
        TEST(test_the_locks_of_the_table_are_known),
        TEST(test_other_names_are_no_locks),
        TEST(test_a_key_in_upper_case_is_no_key),
    };
    return cmocka_run_group_tests_name("store-lock-names", tests, NULL, NULL);
}
