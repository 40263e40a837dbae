#include "tests/unit/test_store_fixture.h"

#include "fs/base/printable.h"

static void expect_cleaned(const char *text, const char *wanted)
{
    char copy[64];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    printable_clean(copy);
    if (strcmp(copy, wanted) != 0)
        print_error("%s\n", wanted);
    assert_string_equal(copy, wanted);
}

static void test_text_stays(void **state UNUSED)
{
    static const char *const texts[] = {
        "",
        "plain",
        "Zürich, 東京, \U0001f600",
        " ~",
        "\u00a0\u2027\u202f\u2065\u206a",
        "\u05e9\u05dc\u05d5\u05dd \u0645",
        "\U0010ffff",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        expect_cleaned(texts[i], texts[i]);
}

static void test_what_a_terminal_would_act_on(void **state UNUSED)
{
    expect_cleaned("a\033[31mb", "a?[31mb");
    expect_cleaned("\t\n\r\x7f", "????");
    expect_cleaned("a\xc2\x80"
                   "b\xc2\x9b"
                   "c",
                   "a?b?c");
    expect_cleaned("\u061c\u200e\u200f", "???");
    expect_cleaned("\u2028\u2029\u202a\u202b\u202c\u202d\u202e", "???????");
    expect_cleaned("\u2066\u2067\u2068\u2069x", "????x");
    expect_cleaned("\U000e0041", "?");
}

static void test_what_is_no_utf8(void **state UNUSED)
{
    expect_cleaned("\x9b"
                   "31m",
                   "?31m");
    expect_cleaned("\xc0\xaf", "??");
    expect_cleaned("\xc3", "?");
    expect_cleaned("\xe2\x82", "??");
    expect_cleaned("\xed\xa0\x80", "???");
    expect_cleaned("\xf4\x90\x80\x80", "????");
    expect_cleaned("\xff"
                   "a\xfe",
                   "?a?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_stays),
        cmocka_unit_test(test_what_a_terminal_would_act_on),
        cmocka_unit_test(test_what_is_no_utf8),
    };
    return cmocka_run_group_tests_name("base-printable", tests, NULL, NULL);
}
