#include "tools/arguments.h"

#include <getopt.h>
#include <string.h>

/* The value of a long option without a letter for getopt_long(3): this, plus its row. */
enum { ROWS_MAX = 16, FIRST_VALUE = 256, VALUE_JSON = FIRST_VALUE + ROWS_MAX };

/* The same table in the form that getopt_long(3) reads. */
struct getopt_table {
    struct option longs[ROWS_MAX + 3];
    char letters[2 * ROWS_MAX + 4];
};

static void fill_table(const struct command *command, struct getopt_table *table)
{
    struct option *next = table->longs;
    char *letter = table->letters;
    if (command->stops_at_operand)
        *letter++ = '+';
    *letter++ = ':';
    const struct command_option *row = command->options;
    for (int i = 0; row && row->name && i < ROWS_MAX; i++, row++) {
        *next++ = (struct option){row->name, row->wants ? required_argument : no_argument, NULL,
                                  row->letter ? row->letter : FIRST_VALUE + i};
        if (row->letter)
            *letter++ = row->letter;
        if (row->letter && row->wants)
            *letter++ = ':';
    }
    if (command->takes_json)
        *next++ = (struct option){"json", no_argument, NULL, VALUE_JSON};
    *next = (struct option){"help", no_argument, NULL, 'h'};
    *letter = 'h';
}

static const struct command_option *find_row(const struct command *command, int value)
{
    const struct command_option *row = command->options;
    if (value >= FIRST_VALUE)
        return &row[value - FIRST_VALUE];
    while (row->letter != value)
        row++;
    return row;
}

/* Logs an error about the option for which getopt_long(3) has just returned '?'. */
static int bad_option(const struct arguments *arguments, const char *letters, char **argv)
{
    const char *word = argv[optind - 1];
    /* optopt is 0 only for an unknown long option. Within a cluster of letters, `word` is still the
     * one before it. */
    if (!optopt)
        return usage_error(arguments, "unknown option %s", word);
    if (optopt >= FIRST_VALUE || (optopt != ':' && strchr(letters, optopt)))
        return usage_error(arguments, "%.*s takes no value", (int)strcspn(word, "="), word);
    return usage_error(arguments, "unknown option -%c", optopt);
}

static int take_option(const struct arguments *arguments, const struct command_option *row,
                       const char *value)
{
    void *field = (char *)arguments->request + row->offset;
    int r = 0;
    if (!row->wants)
        *(bool *)field = true;
    else if (!row->parse)
        *(const char **)field = value;
    else
        r = row->parse(value, field);
    return r == -EINVAL ? usage_error(arguments, "--%s wants %s, not \"%.200s\"", row->name,
                                      row->wants, value)
                        : r;
}

static int check_operands(const struct arguments *arguments)
{
    const struct command *command = arguments->command;
    const char *error = command->operands_error;
    if (arguments->operand_count < command->operands_min)
        return usage_error(arguments, "%s", error);
    if (arguments->operand_count <= command->operands_max)
        return 0;
    const char *surplus = arguments->operands[command->operands_max];
    if (command->operands_max)
        return usage_error(arguments, "%s, not also %s", error, surplus);
    return usage_error(arguments, "takes no operand: %s%s%s", surplus, error ? "; " : "",
                       error ? error : "");
}

int arguments_read(int argc, char **argv, struct arguments *arguments)
{
    const struct command *command = arguments->command;
    struct getopt_table table = {.letters = ""};
    fill_table(command, &table);
    opterr = 0;
    optind = 0;
    for (;;) {
        int before = optind ? optind : 1;
        int value = getopt_long(argc, argv, table.letters, table.longs, NULL);
        if (value < 0) {
            arguments->has_dashes = optind > before && !strcmp(argv[optind - 1], "--");
            break;
        }
        if (value == 'h')
            return 1;
        if (value == '?')
            return bad_option(arguments, table.letters, argv);
        if (value == VALUE_JSON) {
            arguments->as_json = true;
            continue;
        }
        if (value == ':') {
            const struct command_option *row = find_row(command, optopt);
            return usage_error(arguments, "%s wants %s", argv[optind - 1], row->wants);
        }
        int r = take_option(arguments, find_row(command, value), optarg);
        if (r < 0)
            return r;
    }
    arguments->operands = argv + optind;
    arguments->operand_count = (unsigned)(argc - optind);
    return check_operands(arguments);
}
