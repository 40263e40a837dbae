#include "tests/unit/support.h"

#include "fs/base/text.h"
#include "fs/base/units.h"
#include "tools/arguments.h"

/* ---- a command with each kind of option ---- */

struct request {
    bool quiet;
    bool wide;
    const char *name;
    const char *note;
    const char *notes;
    uint64_t size;
};

static int parse_size(const char *value, void *field)
{
    if (!strcmp(value, "huge"))
        return -ENOMEM;
    return units_parse_number(value, field) < 0 ? -EINVAL : 0;
}

static const struct command_option options[] = {
    OPTION_SWITCH("quiet", 'q', request, quiet),
    OPTION_SWITCH("wide", 'w', request, wide),
    OPTION_TEXT("name", 'n', "a name", request, name),
    OPTION_TEXT("note", 0, "a note", request, note),
    OPTION_TEXT("notes", 0, "notes", request, notes),
    OPTION_PARSED("size", 's', "a size", parse_size, request, size),
    OPTIONS_END,
};

static const struct command probe = {
    .name = "probe",
    .synopsis = "[OPTION]... [WORD]...",
    .request_size = sizeof(struct request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .takes_json = true,
};

/* ---- reading a command line, which is words with one space between them ---- */

struct line {
    char text[256];
    char *argv[64];
    struct request request;
    struct arguments arguments;
};

static int read_line(struct line *line, const struct command *command, const char *words)
{
    *line = (struct line){.arguments = {.command = command}};
    line->arguments.request = &line->request;
    (void)snprintf(line->text, sizeof(line->text), "%s%s%s", command->name, *words ? " " : "",
                   words);
    int argc = 0;
    for (char *word = line->text; word; argc++) {
        CHECK((size_t)argc + 1 < ARRAY_LENGTH(line->argv));
        line->argv[argc] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = '\0';
    }
    support_context("%s %s", command->name, words);
    return arguments_read(argc, line->argv, &line->arguments);
}

static void check_read(struct line *line, const struct command *command, const char *words)
{
    CHECK_EQ(read_line(line, command, words), 0);
    CHECK(!line->arguments.operands[line->arguments.operand_count]);
}

/* Checks the operands, which are given with one space between them. */
static void check_operands(const struct line *line, const char *expected)
{
    char text[256] = "";
    size_t length = 0;
    for (unsigned i = 0; i < line->arguments.operand_count; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
                                   line->arguments.operands[i]);
    assert_string_equal(text, expected);
}

/* Checks that the line is refused with this message and the synopsis. */
static void check_refused(const struct command *command, const char *words, const char *message)
{
    struct line line;
    stderr_capture();
    int r = read_line(&line, command, words);
    AUTO_FREE char *logged = stderr_captured();
    AUTO_FREE char *expected =
        text_format("mintfs: %s: %s\nmintfs: usage: mintfs %s %s\n", command->name, message,
                    command->name, command->synopsis);
    CHECK(expected);
    assert_string_equal(logged, expected);
    CHECK_EQ(r, -EINVAL);
}

/* ---- options ---- */

static void test_without_options_the_request_is_untouched(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "");
    CHECK(!line.request.quiet && !line.request.wide);
    CHECK(!line.request.name && !line.request.note && !line.request.notes && !line.request.size);
    CHECK(!line.arguments.as_json && !line.arguments.has_dashes);
    CHECK_EQ(line.arguments.operand_count, 0);
}

static void test_a_letter_and_its_long_name_are_one_option(void **state UNUSED)
{
    static const char *const lines[] = {"-q -n x", "--quiet --name x", "-q --name=x", "-nx -q"};
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct line line;
        check_read(&line, &probe, lines[i]);
        CHECK(line.request.quiet && !line.request.wide);
        assert_string_equal(line.request.name, "x");
        CHECK_EQ(line.arguments.operand_count, 0);
    }
}

static void test_letters_can_be_joined_and_the_last_takes_the_value(void **state UNUSED)
{
    static const char *const lines[] = {"-qwnx", "-qwn x", "-wqn x"};
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct line line;
        check_read(&line, &probe, lines[i]);
        CHECK(line.request.quiet && line.request.wide);
        assert_string_equal(line.request.name, "x");
    }
    struct line line;
    check_read(&line, &probe, "-nqw");
    CHECK(!line.request.quiet && !line.request.wide);
    assert_string_equal(line.request.name, "qw");
}

static void test_a_value_may_be_empty_or_look_like_an_option(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "--name=");
    assert_string_equal(line.request.name, "");
    check_read(&line, &probe, "-n -q");
    assert_string_equal(line.request.name, "-q");
    CHECK(!line.request.quiet);
    check_read(&line, &probe, "--name=a=b");
    assert_string_equal(line.request.name, "a=b");
}

static void test_long_options_may_be_abbreviated(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "--qui --na=x --si 7 --j");
    CHECK(line.request.quiet && line.arguments.as_json);
    assert_string_equal(line.request.name, "x");
    CHECK_EQ(line.request.size, 7);
}

static void test_an_abbreviation_of_two_options_is_refused(void **state UNUSED)
{
    check_refused(&probe, "--n=x", "unknown option --n=x");
    check_refused(&probe, "--no x", "unknown option --no");
}

static void test_a_whole_name_is_no_abbreviation_of_a_longer_one(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "--note=x");
    assert_string_equal(line.request.note, "x");
    CHECK(!line.request.notes);
    check_read(&line, &probe, "--notes=x");
    assert_string_equal(line.request.notes, "x");
    CHECK(!line.request.note);
}

static void test_the_last_of_two_values_counts(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "-n one --name two -s 1 -s 2");
    assert_string_equal(line.request.name, "two");
    CHECK_EQ(line.request.size, 2);
}

static void test_a_missing_value_is_described(void **state UNUSED)
{
    check_refused(&probe, "--name", "--name wants a name");
    check_refused(&probe, "-n", "-n wants a name");
    check_refused(&probe, "-qn", "-qn wants a name");
    check_refused(&probe, "word --notes", "--notes wants notes");
    check_refused(&probe, "--si", "--si wants a size");
}

static void test_a_value_that_the_parser_refuses_is_shown(void **state UNUSED)
{
    check_refused(&probe, "--size=ten", "--size wants a size, not \"ten\"");
    check_refused(&probe, "-s ten", "--size wants a size, not \"ten\"");
}

static void test_another_error_of_the_parser_is_returned_without_a_message(void **state UNUSED)
{
    struct line line;
    stderr_capture();
    int r = read_line(&line, &probe, "--size=huge");
    AUTO_FREE char *logged = stderr_captured();
    CHECK_EQ(r, -ENOMEM);
    assert_string_equal(logged, "");
}

static void test_a_switch_takes_no_value(void **state UNUSED)
{
    check_refused(&probe, "--quiet=yes", "--quiet takes no value");
    check_refused(&probe, "--quiet=", "--quiet takes no value");
    check_refused(&probe, "--qui=yes", "--qui takes no value");
    check_refused(&probe, "--json=yes", "--json takes no value");
    check_refused(&probe, "--help=yes", "--help takes no value");
}

static void test_unknown_options_are_named(void **state UNUSED)
{
    check_refused(&probe, "--bogus", "unknown option --bogus");
    check_refused(&probe, "--bogus=1", "unknown option --bogus=1");
    check_refused(&probe, "--quietly", "unknown option --quietly");
    check_refused(&probe, "word --bogus", "unknown option --bogus");
    check_refused(&probe, "-z", "unknown option -z");
    check_refused(&probe, "-qz", "unknown option -z");
    check_refused(&probe, "-zq", "unknown option -z");
    check_refused(&probe, "-:", "unknown option -:");
    check_refused(&probe, "--name=x -zq", "unknown option -z");
}

static void test_an_error_stops_the_reading(void **state UNUSED)
{
    check_refused(&probe, "--bogus --size=ten", "unknown option --bogus");
    check_refused(&probe, "--size=ten --help", "--size wants a size, not \"ten\"");
}

static void test_help_is_told_apart(void **state UNUSED)
{
    static const char *const lines[] = {"-h", "--help", "--he", "-qh", "word --help -z"};
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct line line;
        CHECK_EQ(read_line(&line, &probe, lines[i]), 1);
    }
    struct line line;
    check_read(&line, &probe, "-- --help");
    check_operands(&line, "--help");
}

static void test_json_is_taken_only_where_the_command_has_it(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "--json");
    CHECK(line.arguments.as_json);
    struct command command = probe;
    command.takes_json = false;
    check_refused(&command, "--json", "unknown option --json");
}

static void test_a_command_without_options_has_help_and_json(void **state UNUSED)
{
    struct command command = probe;
    struct line line;
    command.options = NULL;
    check_read(&line, &command, "a --json b");
    CHECK(line.arguments.as_json);
    check_operands(&line, "a b");
    CHECK_EQ(read_line(&line, &command, "--help"), 1);
    check_refused(&command, "-q", "unknown option -q");
}

static void test_a_table_of_16_options_is_read_whole(void **state UNUSED)
{
    enum { COUNT = 16 };
    static char names[COUNT][8];
    struct command_option rows[COUNT + 1] = {{.name = NULL}};
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "long-%c", (char)('A' + i));
        rows[i] =
            (struct command_option)OPTION_TEXT(names[i], (char)('A' + i), "a text", request, name);
    }
    struct command command = probe;
    command.options = rows;
    command.stops_at_operand = true;
    for (size_t i = 0; i < COUNT; i++) {
        struct line line;
        char words[32];
        (void)snprintf(words, sizeof(words), "-%c x --json", (char)('A' + i));
        check_read(&line, &command, words);
        assert_string_equal(line.request.name, "x");
        CHECK(line.arguments.as_json);
        (void)snprintf(words, sizeof(words), "--long-%c=y", (char)('A' + i));
        check_read(&line, &command, words);
        assert_string_equal(line.request.name, "y");
    }
    struct line line;
    rows[COUNT - 1].letter = 0;
    check_read(&line, &command, "--long-P=z --json");
    assert_string_equal(line.request.name, "z");
    CHECK(line.arguments.as_json);
}

/* ---- operands ---- */

static void test_options_may_follow_operands(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "a -q b --name x c");
    CHECK(line.request.quiet && !line.arguments.has_dashes);
    assert_string_equal(line.request.name, "x");
    check_operands(&line, "a b c");
}

static void test_options_end_at_the_first_operand_where_the_command_says_so(void **state UNUSED)
{
    struct command command = probe;
    struct line line;
    command.stops_at_operand = true;
    check_read(&line, &command, "-q a -w -- --bogus");
    CHECK(line.request.quiet && !line.request.wide && !line.arguments.has_dashes);
    check_operands(&line, "a -w -- --bogus");
}

static void test_two_dashes_end_the_options(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "-q -- -w --bogus a");
    CHECK(line.request.quiet && !line.request.wide && line.arguments.has_dashes);
    check_operands(&line, "-w --bogus a");
    check_read(&line, &probe, "--");
    CHECK(line.arguments.has_dashes);
    CHECK_EQ(line.arguments.operand_count, 0);
}

static void test_only_the_first_two_dashes_are_removed(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "-- -- a --");
    CHECK(line.arguments.has_dashes);
    check_operands(&line, "-- a --");
}

static void test_two_dashes_as_a_value_do_not_end_the_options(void **state UNUSED)
{
    static const char *const lines[] = {"-n -- -q a", "--name -- -q a", "-q -n -- a"};
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        struct line line;
        check_read(&line, &probe, lines[i]);
        CHECK(line.request.quiet && !line.arguments.has_dashes);
        assert_string_equal(line.request.name, "--");
        check_operands(&line, "a");
    }
}

static void test_a_single_dash_is_an_operand(void **state UNUSED)
{
    struct line line;
    check_read(&line, &probe, "- -q");
    CHECK(line.request.quiet);
    check_operands(&line, "-");
}

static void test_too_few_operands_are_refused(void **state UNUSED)
{
    struct command command = probe;
    struct line line;
    command.operands_min = 2;
    command.operands_max = 3;
    command.operands_error = "wants two or three words";
    check_refused(&command, "", "wants two or three words");
    check_refused(&command, "a -q", "wants two or three words");
    check_refused(&command, "-- a", "wants two or three words");
    check_read(&line, &command, "a -q b");
    check_operands(&line, "a b");
}

static void test_the_first_operand_too_many_is_named(void **state UNUSED)
{
    struct command command = probe;
    struct line line;
    command.operands_max = 2;
    command.operands_error = "takes two words";
    check_refused(&command, "a b c d", "takes two words, not also c");
    check_refused(&command, "a b -- -c", "takes two words, not also -c");
    check_read(&line, &command, "a b");
    check_operands(&line, "a b");
}

static void test_a_command_without_operands_refuses_one(void **state UNUSED)
{
    struct command command = probe;
    struct line line;
    command.operands_max = 0;
    check_refused(&command, "a b", "takes no operand: a");
    command.operands_error = "see probe --help";
    check_refused(&command, "-q a", "takes no operand: a; see probe --help");
    check_read(&line, &command, "-q");
}

static void test_an_error_of_an_action_names_its_group(void **state UNUSED)
{
    static const struct command group = {.name = "group", .synopsis = "probe | other"};
    struct request request = {.quiet = false};
    struct arguments arguments = {.command = &probe, .group = &group, .request = &request};
    char words[][8] = {"probe", "--bogus"};
    char *argv[] = {words[0], words[1], NULL};
    support_context("%s", "");
    stderr_capture();
    int r = arguments_read(2, argv, &arguments);
    AUTO_FREE char *logged = stderr_captured();
    CHECK_EQ(r, -EINVAL);
    assert_string_equal(logged, "mintfs: group: probe: unknown option --bogus\n"
                                "mintfs: usage: mintfs group probe | other\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_options_the_request_is_untouched),
        TEST(test_a_letter_and_its_long_name_are_one_option),
        TEST(test_letters_can_be_joined_and_the_last_takes_the_value),
        TEST(test_a_value_may_be_empty_or_look_like_an_option),
        TEST(test_long_options_may_be_abbreviated),
        TEST(test_an_abbreviation_of_two_options_is_refused),
        TEST(test_a_whole_name_is_no_abbreviation_of_a_longer_one),
        TEST(test_the_last_of_two_values_counts),
        TEST(test_a_missing_value_is_described),
        TEST(test_a_value_that_the_parser_refuses_is_shown),
        TEST(test_another_error_of_the_parser_is_returned_without_a_message),
        TEST(test_a_switch_takes_no_value),
        TEST(test_unknown_options_are_named),
        TEST(test_an_error_stops_the_reading),
        TEST(test_help_is_told_apart),
        TEST(test_json_is_taken_only_where_the_command_has_it),
        TEST(test_a_command_without_options_has_help_and_json),
        TEST(test_a_table_of_16_options_is_read_whole),
        TEST(test_options_may_follow_operands),
        TEST(test_options_end_at_the_first_operand_where_the_command_says_so),
        TEST(test_two_dashes_end_the_options),
        TEST(test_only_the_first_two_dashes_are_removed),
        TEST(test_two_dashes_as_a_value_do_not_end_the_options),
        TEST(test_a_single_dash_is_an_operand),
        TEST(test_too_few_operands_are_refused),
        TEST(test_the_first_operand_too_many_is_named),
        TEST(test_a_command_without_operands_refuses_one),
        TEST(test_an_error_of_an_action_names_its_group),
    };
    return cmocka_run_group_tests_name("tools-arguments", tests, NULL, NULL);
}
