#include "tests/unit/support.h"

#include "fs/base/json_text.h"

/* U+FFFD */
#define REPLACED "\xef\xbf\xbd"

static void check_text(const char *text, const char *expected)
{
    json_t *json = json_text(text);
    CHECK(json_is_string(json));
    assert_string_equal(json_string_value(json), expected);
    json_decref(json);
}

static void test_utf8_is_kept(void **state UNUSED)
{
    static const char *const texts[] = {
        "", "plain", "line\nend\t\x01\x7f", "Zürich, 東京, \U0001f600", "\U0010ffff", REPLACED};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        check_text(texts[i], texts[i]);
}

static void test_each_byte_that_is_not_utf8_is_replaced(void **state UNUSED)
{
    check_text("a\xff"
               "b",
               "a" REPLACED "b");
    check_text("\xff\xfe", REPLACED REPLACED);
    check_text("\x80", REPLACED);
    check_text("\xc3(", REPLACED "(");
    check_text("ü\xe4ü", "ü" REPLACED "ü");
}

static void test_a_character_that_is_cut_off_is_replaced_byte_by_byte(void **state UNUSED)
{
    check_text("a\xc3", "a" REPLACED);
    check_text("\xe6\x9d", REPLACED REPLACED);
    check_text("\xf0\x9f\x98", REPLACED REPLACED REPLACED);
}

static void test_overlong_and_surrogate_codes_are_replaced(void **state UNUSED)
{
    check_text("\xc0\x80", REPLACED REPLACED);
    check_text("\xe0\x80\xaf", REPLACED REPLACED REPLACED);
    check_text("\xed\xa0\x80", REPLACED REPLACED REPLACED);
    check_text("\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED);
}

/* Jansson and utf8_length() must agree on what UTF-8 is, or a file name has no JSON at all. */
static void test_any_bytes_become_a_string(void **state UNUSED)
{
    static const unsigned char bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                          0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee,
                                          0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
    enum { COUNT = ARRAY_LENGTH(bytes) };
    for (size_t i = 0; i < (size_t)COUNT * COUNT * COUNT * COUNT; i++) {
        char text[5] = "";
        size_t rest = i;
        for (size_t at = 0; at < 4; at++, rest /= COUNT)
            text[at] = (char)bytes[rest % COUNT];
        json_t *json = json_text(text);
        if (!json_is_string(json))
            support_fail(__FILE__, __LINE__, "no string for %02x %02x %02x %02x",
                         (unsigned char)text[0], (unsigned char)text[1], (unsigned char)text[2],
                         (unsigned char)text[3]);
        json_decref(json);
    }
}

static void check_words(const char *words, const char *expected)
{
    json_t *json = json_words(words);
    CHECK(json_is_array(json));
    AUTO_FREE char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    assert_string_equal(text, expected);
}

static void test_words_are_split_at_spaces(void **state UNUSED)
{
    check_words("one", "[\"one\"]");
    check_words("one two three", "[\"one\",\"two\",\"three\"]");
    check_words("a-b.c d_e", "[\"a-b.c\",\"d_e\"]");
}

static void test_no_words_are_an_empty_array(void **state UNUSED)
{
    check_words("", "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_utf8_is_kept),
        TEST(test_each_byte_that_is_not_utf8_is_replaced),
        TEST(test_a_character_that_is_cut_off_is_replaced_byte_by_byte),
        TEST(test_overlong_and_surrogate_codes_are_replaced),
        TEST(test_any_bytes_become_a_string),
        TEST(test_words_are_split_at_spaces),
        TEST(test_no_words_are_an_empty_array),
    };
    return cmocka_run_group_tests_name("base-json-text", tests, NULL, NULL);
}
