#include "tests/unit/support.h"

#include "tools/columns.h"

/* What columns_print() prints on a terminal of that many columns; 0: on no terminal. */
static void check_printed(const struct columns *table, unsigned width, const char *expected)
{
    char text[8];
    (void)snprintf(text, sizeof(text), "%u", width);
    CHECK_EQ(width ? setenv("COLUMNS", text, 1) : unsetenv("COLUMNS"), 0);
    (void)fflush(stdout);
    FILE *file = tmpfile();
    AUTO_FD int kept = dup(STDOUT_FILENO);
    CHECK(file && kept >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    columns_print(table);
    (void)fflush(stdout);
    CHECK(dup2(kept, STDOUT_FILENO) >= 0);
    char printed[1024] = "";
    rewind(file);
    (void)fread(printed, 1, sizeof(printed) - 1, file);
    (void)fclose(file);
    assert_string_equal(printed, expected);
}

static struct columns *table_of(const struct column *columns, size_t count,
                                const char *const *cells, size_t rows)
{
    struct columns *table = NULL;
    CHECK_EQ(columns_new(columns, count, &table), 0);
    for (size_t i = 0; i < rows; i++)
        CHECK_EQ(columns_add(table, &cells[i * count]), 0);
    CHECK_EQ(columns_rows(table), rows);
    return table;
}

static const struct column three[] = {
    {.title = "KEY"},
    {.title = "SIZE", .right = true, .rank = 1},
    {.title = "NAME", .rank = 2},
};
static const char *const cells_of_three[] = {"0123", "7 B", "app", "4567", "100 KiB", ""};

static void test_columns_are_as_wide_as_their_longest_cell(void **state UNUSED)
{
    AUTO_TABLE struct columns *table = table_of(three, 3, cells_of_three, 2);
    static const char expected[] = "KEY      SIZE  NAME\n"
                                   "0123      7 B  app\n"
                                   "4567  100 KiB  \n";
    check_printed(table, 0, expected);
    check_printed(table, 19, expected);
}

static void test_columns_of_the_highest_rank_are_left_out_first(void **state UNUSED)
{
    AUTO_TABLE struct columns *table = table_of(three, 3, cells_of_three, 2);
    check_printed(table, 18, "KEY      SIZE\n0123      7 B\n4567  100 KiB\n");
    check_printed(table, 12, "KEY\n0123\n4567\n");
}

static void test_width_counts_characters_not_bytes(void **state UNUSED)
{
    static const struct column columns[] = {{.title = "A"}, {.title = "B"}};
    static const char *const cells[] = {"äöü", "x", "abc", "y"};
    AUTO_TABLE struct columns *table = table_of(columns, 2, cells, 2);
    check_printed(table, 0, "A    B\näöü  x\nabc  y\n");
}

static void test_a_column_that_may_be_cut_is_cut_at_its_end(void **state UNUSED)
{
    static const struct column columns[] = {{.title = "KEY"}, {.title = "PATH", .cut = true}};
    static const char *const cells[] = {"0123", "/a/path/of/thirty-two/characters", "4567", "/b"};
    AUTO_TABLE struct columns *table = table_of(columns, 2, cells, 2);
    check_printed(table, 26,
                  "KEY   PATH\n"
                  "0123  /a/path/of/thirty-..\n"
                  "4567  /b\n");
}

static void test_rows_are_paragraphs_where_they_fit_no_line(void **state UNUSED)
{
    static const struct column columns[] = {{.title = "KEY"}, {.title = "WHY"}};
    static const char *const cells[] = {"0123", "it is in use", "4567", ""};
    AUTO_TABLE struct columns *table = table_of(columns, 2, cells, 2);
    check_printed(table, 14,
                  "KEY  0123\n"
                  "WHY  it is in\n"
                  "     use\n"
                  "\n"
                  "KEY  4567\n");
}

static void test_cells_are_printable(void **state UNUSED)
{
    static const struct column columns[] = {{.title = "A"}};
    static const char *const cells[] = {"a\033[31m\nb"};
    AUTO_TABLE struct columns *table = table_of(columns, 1, cells, 1);
    check_printed(table, 0, "A\na?[31m?b\n");
}

static void test_many_rows_are_kept_in_order(void **state UNUSED)
{
    static const struct column columns[] = {{.title = "A"}};
    const char *cells[200];
    for (size_t i = 0; i < ARRAY_LENGTH(cells); i++)
        cells[i] = i % 2 ? "1" : "0";
    AUTO_TABLE struct columns *table = table_of(columns, 1, cells, ARRAY_LENGTH(cells));
    char expected[2 * (ARRAY_LENGTH(cells) + 1) + 1] = "A\n";
    for (size_t i = 0; i < ARRAY_LENGTH(cells); i++)
        (void)snprintf(expected + 2 * (i + 1), 3, "%s\n", cells[i]);
    check_printed(table, 0, expected);
}

static void test_too_many_columns_are_refused(void **state UNUSED)
{
    const struct column columns[17] = {{.title = "A"}};
    struct columns *table = NULL;
    CHECK_EQ(columns_new(columns, ARRAY_LENGTH(columns), &table), -ENOMEM);
    CHECK(!table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_columns_are_as_wide_as_their_longest_cell),
        TEST(test_columns_of_the_highest_rank_are_left_out_first),
        TEST(test_width_counts_characters_not_bytes),
        TEST(test_a_column_that_may_be_cut_is_cut_at_its_end),
        TEST(test_rows_are_paragraphs_where_they_fit_no_line),
        TEST(test_cells_are_printable),
        TEST(test_many_rows_are_kept_in_order),
        TEST(test_too_many_columns_are_refused),
    };
    return cmocka_run_group_tests_name("tools-columns", tests, NULL, NULL);
}
