/*
 * mintfs session: lists, resets and removes writable copies of a template, on the store's mount or,
 * where there is none, plain copies; `new` is in cmd_session_new.c.
 *
 * `ls --json`: {"sessions": [{"id", "key", "path", "backend": "fuse"|"copy", "bytes",
 * "open_files"}...]}, the last two null for copies, and the path too for those at rest.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/units.h"
#include "fs/client/backend.h"
#include "fs/client/session_change.h"
#include "fs/store/store_open.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

/* ---- ls ---- */

static json_t *known_number(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

static int print_rows_json(const struct session_table *table)
{
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < table->count; i++) {
        const struct session_row *row = &table->rows[i];
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "id", row->id, "key", row->key,
                            "path", row->path ? json_text(row->path) : json_null(), "backend",
                            backend_name(row->backend), "bytes", known_number(row->bytes),
                            "open_files", known_number(row->open_files)));
    }
    return output_json(json_pack("{s:o}", "sessions", rows));
}

static int print_rows(const struct session_table *sessions)
{
    static const struct column columns[] = {{.title = "ID"},
                                            {.title = "KEY"},
                                            {.title = "BACKEND"},
                                            {.title = "BYTES", .right = true},
                                            {.title = "PATH"}};
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < sessions->count; i++) {
        const struct session_row *row = &sessions->rows[i];
        char key[SHOWN_KEY + 1];
        char bytes[UNITS_TEXT_SIZE] = "-";
        (void)snprintf(key, sizeof(key), "%.*s", SHOWN_KEY, row->key);
        if (row->bytes >= 0)
            (void)snprintf(bytes, sizeof(bytes), "%" PRId64, row->bytes);
        const char *cells[] = {row->id, key, backend_name(row->backend), bytes,
                               row->path ? row->path : "(at rest: mintfs mount shows it)"};
        r = columns_add(table, cells);
    }
    if (r == 0)
        columns_print(table);
    return r;
}

static int session_ls_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help("session");
        if (option != 'j')
            return command_bad_option("session", "ls", argv);
        as_json = true;
    }
    if (optind < argc)
        return command_usage("session", "ls takes no operand: %s", argv[optind]);
    AUTO_STORE struct store *store = NULL;
    AUTO_SESSIONS struct session_table table = {0};
    int r = store_open_existing(&store);
    if (r > 0)
        r = sessions_read(store, &table);
    if (r == 0 && as_json)
        r = print_rows_json(&table);
    else if (r == 0 && table.count)
        r = print_rows(&table);
    return r < 0 ? command_status(r) : command_flush();
}

/* ---- rm and reset ---- */

static int change_operands(int argc, char **argv, session_change *change)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help("session");
        return command_bad_option("session", argv[0], argv);
    }
    if (optind == argc)
        return command_usage("session", "%s wants the ID of a session", argv[0]);
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r == 0)
        return EXIT_MISSING;
    if (r > 0)
        r = sessions_change(store, argv + optind, (size_t)(argc - optind), change);
    return command_status(r);
}

static int session_rm_command(int argc, char **argv)
{
    return change_operands(argc, argv, session_remove);
}

static int session_reset_command(int argc, char **argv)
{
    return change_operands(argc, argv, session_reset);
}

int cmd_session(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } actions[] = {
        {"new", cmd_session_new},
        {"ls", session_ls_command},
        {"reset", session_reset_command},
        {"rm", session_rm_command},
    };
    opterr = 0;
    optind = 0;
    if (argc < 2)
        return command_usage(argv[0], "wants one of new, ls, reset, rm");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return command_help(argv[0]);
    for (size_t i = 0; i < ARRAY_LENGTH(actions); i++)
        if (!strcmp(argv[1], actions[i].name))
            return actions[i].run(argc - 1, argv + 1);
    return command_usage(argv[0], "no action \"%s\": there are new, ls, reset, rm", argv[1]);
}
