#include "tests/unit/support.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include "fs/base/wrap.h"

static void check_wrapped(const char *text, unsigned column, unsigned indent, unsigned width,
                          const char *expected)
{
    AUTO_FREE char *printed = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&printed, &size);
    CHECK(stream);
    wrap_print(stream, text, column, indent, width);
    CHECK_EQ(fclose(stream), 0);
    assert_string_equal(printed, expected);
}

static void test_a_width_of_zero_breaks_nothing(void **state UNUSED)
{
    check_wrapped("one two three", 0, 2, 0, "one two three");
    check_wrapped("", 0, 2, 0, "");
}

static void test_lines_break_at_blanks_and_are_indented(void **state UNUSED)
{
    check_wrapped("one two three", 0, 2, 13, "one two three");
    check_wrapped("one two three", 0, 2, 12, "one two\n  three");
    check_wrapped("one two three", 0, 0, 7, "one two\nthree");
    check_wrapped("a b c d", 0, 1, 3, "a b\n c\n d");
}

static void test_columns_in_use_count_for_the_first_line(void **state UNUSED)
{
    check_wrapped("one two three", 5, 2, 11, "one\n  two three");
    check_wrapped("one", 20, 2, 12, "one");
}

static void test_a_word_that_fits_no_line_stays_where_it_is(void **state UNUSED)
{
    check_wrapped("a /a/long/path b", 0, 2, 8, "a /a/long/path\n  b");
}

static void test_width_counts_characters_not_bytes(void **state UNUSED)
{
    check_wrapped("äöü äöü", 0, 0, 7, "äöü äöü");
    check_wrapped("äöü äöü", 0, 0, 6, "äöü\näöü");
}

static void test_unprintable_characters_become_question_marks(void **state UNUSED)
{
    check_wrapped("a\033b", 0, 0, 80, "a?b");
}

static void test_only_a_terminal_has_columns(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(wrap_columns(place->fd), 0);
    AUTO_FD int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
    AUTO_FD int terminal = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(terminal >= 0);
    const struct winsize window = {.ws_row = 24, .ws_col = 77};
    CHECK_EQ(ioctl(terminal, TIOCSWINSZ, &window), 0);
    CHECK_EQ(wrap_columns(terminal), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_width_of_zero_breaks_nothing),
        TEST(test_lines_break_at_blanks_and_are_indented),
        TEST(test_columns_in_use_count_for_the_first_line),
        TEST(test_a_word_that_fits_no_line_stays_where_it_is),
        TEST(test_width_counts_characters_not_bytes),
        TEST(test_unprintable_characters_become_question_marks),
        TEST(test_only_a_terminal_has_columns),
    };
    return cmocka_run_group_tests_name("base-wrap", tests, NULL, NULL);
}
