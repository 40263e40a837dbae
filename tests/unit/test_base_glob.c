#include "tests/unit/test_store_fixture.h"

#include "fs/base/glob.h"

/* Appends to a text that has room for it. */
static void append(char *text, size_t size, const char *more)
{
    size_t length = strlen(text);
    assert_true(snprintf(text + length, size - length, "%s", more) < (int)(size - length));
}

static bool matches(const char *pattern, const char *path)
{
    struct glob glob;
    assert_int_equal(glob_compile(pattern, &glob), 0);
    bool answer = glob_matches(&glob, path);
    glob_fini(&glob);
    return answer;
}

static void test_wildcards_stay_within_one_part(void **state UNUSED)
{
    assert_true(matches("*.sql", "a.sql"));
    assert_true(matches("*", "a"));
    assert_false(matches("*", "a/b"));
    assert_false(matches("*.sql", "a/b.sql"));
    assert_true(matches("a?c", "abc"));
    assert_false(matches("a?c", "ac"));
    assert_true(matches("[a-c][!x]", "by"));
    assert_false(matches("[a-c][!x]", "bx"));
    assert_false(matches("[a-c]", "d"));
    assert_true(matches("[]x]", "]"));
    assert_true(matches("[^]]", "a"));
    assert_true(matches("[a\\]]", "]"));
    assert_true(matches("\\*", "*"));
    assert_false(matches("\\*", "a"));
    assert_true(matches("*a*b*c*", "xxaxxbxxcxx"));
    assert_false(matches("*a*b*c*", "xxaxxcxxbxx"));
    assert_true(matches("**.py", "x.py"));
    assert_true(matches("\xc3\xbc*", "\xc3\xbc.sql"));
}

static void test_two_stars_match_any_number_of_parts(void **state UNUSED)
{
    assert_true(matches("**", "a"));
    assert_true(matches("**", "a/b/c"));
    assert_true(matches("**/x", "x"));
    assert_true(matches("**/x", "a/b/x"));
    assert_true(matches("a/**/x", "a/x"));
    assert_true(matches("a/**/x", "a/b/c/x"));
    assert_false(matches("a/**/x", "b/x"));
    assert_true(matches("a/**", "a/b"));
    assert_true(matches("a/**", "a"));
    assert_true(matches("**/**/a/**/**", "b/a/c"));
    assert_true(matches("./a/./b/", "a/b"));
}

static void test_wildcards_do_not_match_a_leading_dot(void **state UNUSED)
{
    assert_false(matches("*", ".git"));
    assert_false(matches("?git", ".git"));
    assert_false(matches("[.]git", ".git"));
    assert_true(matches(".*", ".git"));
    assert_true(matches("\\.git", ".git"));
    assert_false(matches("**/x", ".venv/x"));
    assert_true(matches(".venv/**/x", ".venv/x"));
}

static void test_bad_patterns_are_refused(void **state UNUSED)
{
    static const char *const bad[] = {"",       "/",  "/a",  "a//b", "..",
                                      "a/../b", "[a", "a\\", "[!]",  "."};
    struct glob glob;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(glob_compile(bad[i], &glob), -EINVAL);
    char deep[2 * (GLOB_PARTS_MAX + 1) + 1] = "";
    for (int i = 0; i <= GLOB_PARTS_MAX; i++)
        append(deep, sizeof(deep), "a/");
    assert_int_equal(glob_compile(deep, &glob), -EINVAL);
    deep[2 * GLOB_PARTS_MAX] = '\0';
    assert_int_equal(glob_compile(deep, &glob), 0);
    glob_fini(&glob);
}

/* A matcher that goes back to every star would never finish. */
static void test_many_stars_take_linear_time(void **state UNUSED)
{
    char pattern[600] = "";
    char text[251];
    for (int i = 0; i < 100; i++)
        append(pattern, sizeof(pattern), "*a");
    append(pattern, sizeof(pattern), "b");
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_false(matches(pattern, text));
    char parts[200] = "";
    char path[2 * 200 + 1] = "";
    for (int i = 0; i < 20; i++)
        append(parts, sizeof(parts), "**/a/");
    append(parts, sizeof(parts), "b");
    for (int i = 0; i < 200; i++)
        append(path, sizeof(path), "a/");
    path[strlen(path) - 1] = '\0';
    assert_false(matches(parts, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wildcards_stay_within_one_part),
        TEST(test_two_stars_match_any_number_of_parts),
        TEST(test_wildcards_do_not_match_a_leading_dot),
        TEST(test_bad_patterns_are_refused),
        TEST(test_many_stars_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
