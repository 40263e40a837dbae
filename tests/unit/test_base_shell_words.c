#include "tests/unit/support.h"

#include "fs/base/shell_words.h"

struct split_case {
    const char *line;
    const char *words[8];
};

static void check_split(const struct split_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_STRLIST struct strlist words = STRLIST_INIT;
        support_context("%s", cases[i].line);
        CHECK_EQ(shell_words_split(cases[i].line, &words), 0);
        for (size_t j = 0; j < words.count; j++)
            assert_string_equal(words.items[j], cases[i].words[j]);
        CHECK(!cases[i].words[words.count]);
    }
    support_context("%s", "");
}

static void test_words_end_at_blanks(void **state UNUSED)
{
    static const struct split_case cases[] = {
        {"", {NULL}},
        {" \t\n", {NULL}},
        {"python3 create.py {out}", {"python3", "create.py", "{out}"}},
        {"  a\t b  ", {"a", "b"}},
    };
    check_split(cases, ARRAY_LENGTH(cases));
}

static void test_quotes_keep_blanks_and_each_other(void **state UNUSED)
{
    static const struct split_case cases[] = {
        {"sh -c 'a ; \"b\" $c'", {"sh", "-c", "a ; \"b\" $c"}},
        {"\"it's\"", {"it's"}},
        {"x'y'\"z\"", {"xyz"}},
        {"a '' \"\"", {"a", "", ""}},
    };
    check_split(cases, ARRAY_LENGTH(cases));
}

static void test_a_backslash_keeps_the_next_character(void **state UNUSED)
{
    static const struct split_case cases[] = {
        {"a\\ b", {"a b"}},
        {"\\'a\\'", {"'a'"}},
        {"\"a b\\\"c\\\\d\\e\"", {"a b\"c\\d\\e"}},
        {"'a\\b'", {"a\\b"}},
    };
    check_split(cases, ARRAY_LENGTH(cases));
}

static void test_nothing_is_expanded(void **state UNUSED)
{
    static const struct split_case cases[] = {
        {"*.sql $HOME `id` ~ # word", {"*.sql", "$HOME", "`id`", "~", "#", "word"}},
    };
    check_split(cases, ARRAY_LENGTH(cases));
}

static void test_an_open_quote_or_a_last_backslash_is_an_error(void **state UNUSED)
{
    static const char *const lines[] = {"'a", "\"a", "a \\", "\"a\\\"", "b 'a\""};
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        AUTO_STRLIST struct strlist words = STRLIST_INIT;
        CHECK_EQ(shell_words_split(lines[i], &words), -EINVAL);
    }
}

static void test_words_are_appended_to_the_list(void **state UNUSED)
{
    AUTO_STRLIST struct strlist words = STRLIST_INIT;
    CHECK_EQ(shell_words_split("a b", &words), 0);
    CHECK_EQ(shell_words_split("c", &words), 0);
    CHECK_EQ(words.count, 3);
    assert_string_equal(words.items[2], "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_words_end_at_blanks),
        TEST(test_quotes_keep_blanks_and_each_other),
        TEST(test_a_backslash_keeps_the_next_character),
        TEST(test_nothing_is_expanded),
        TEST(test_an_open_quote_or_a_last_backslash_is_an_error),
        TEST(test_words_are_appended_to_the_list),
    };
    return cmocka_run_group_tests_name("base-shell-words", tests, NULL, NULL);
}
