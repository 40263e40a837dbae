#include "tests/unit/support.h"

#include "fs/store/names.h"

static void check_names(const char *const *names, size_t count, bool are_valid)
{
    for (size_t i = 0; i < count; i++) {
        support_context("\"%s\"", names[i]);
        CHECK_EQ(name_is_valid(names[i]), are_valid);
    }
    support_context("%s", "");
}

static void test_letters_digits_and_three_signs_make_a_name(void **state UNUSED)
{
    static const char *const names[] = {"x",
                                        "Z",
                                        "unit",
                                        "shop-2.1_b",
                                        "9",
                                        "a.",
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                        "abcdefghijklmnopqrstuvwxyz",
                                        "0123456789._-"};
    check_names(names, ARRAY_LENGTH(names), true);
}

static void test_other_characters_are_refused(void **state UNUSED)
{
    static const char *const names[] = {"a/b", "a b", "a\n", "ü",    "a:b", "a@b",
                                        "a,b", "a*",  "a+b", "\x7f", "a\\", "a\xff"};
    check_names(names, ARRAY_LENGTH(names), false);
}

static void test_a_leading_dot_is_refused(void **state UNUSED)
{
    static const char *const names[] = {".", "..", ".x", ".unit"};
    check_names(names, ARRAY_LENGTH(names), false);
}

static void test_a_name_has_1_to_64_characters(void **state UNUSED)
{
    char name[66];
    memset(name, 'x', sizeof(name));
    name[65] = '\0';
    CHECK(!name_is_valid(name));
    name[64] = '\0';
    CHECK(name_is_valid(name));
    CHECK(!name_is_valid(""));
}

static void test_from_four_on_hexadecimal_digits_alone_are_refused(void **state UNUSED)
{
    static const char *const keys[] = {"dead", "BEEF", "dEaD", "0123", "0123456789abcdefABCDEF"};
    static const char *const names[] = {"abc", "123", "f", "deag", "dead-", "0x12", "dead.beef"};
    check_names(keys, ARRAY_LENGTH(keys), false);
    check_names(names, ARRAY_LENGTH(names), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_letters_digits_and_three_signs_make_a_name),
        TEST(test_other_characters_are_refused),
        TEST(test_a_leading_dot_is_refused),
        TEST(test_a_name_has_1_to_64_characters),
        TEST(test_from_four_on_hexadecimal_digits_alone_are_refused),
    };
    return cmocka_run_group_tests_name("store-names", tests, NULL, NULL);
}
