#include "tests/unit/support.h"

#include "fs/base/text.h"

static void test_text_is_formatted_whatever_its_length(void **state UNUSED)
{
    char zeros[5001];
    memset(zeros, '0', sizeof(zeros) - 1);
    zeros[sizeof(zeros) - 1] = 0;
    AUTO_FREE char *empty = text_format("%s", "");
    AUTO_FREE char *text = text_format("%s/%d", "a", 7);
    AUTO_FREE char *longer = text_format("%05000d", 0);
    CHECK_EQ(strcmp(empty, ""), 0);
    CHECK_EQ(strcmp(text, "a/7"), 0);
    CHECK_EQ(strcmp(longer, zeros), 0);
}

static void test_blanks_are_cut_off_both_ends_alone(void **state UNUSED)
{
    char text[] = " \ta  b\n ";
    char blanks[] = " \t ";
    char empty[] = "";
    CHECK_EQ(strcmp(text_trim(text), "a  b"), 0);
    CHECK_EQ(strcmp(text_trim(blanks), ""), 0);
    CHECK_EQ(strcmp(text_trim(empty), ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_text_is_formatted_whatever_its_length),
        TEST(test_blanks_are_cut_off_both_ends_alone),
    };
    return cmocka_run_group_tests_name("base-text", tests, NULL, NULL);
}
