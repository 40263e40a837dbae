/*
 * mintfs session: lists, resets and removes sessions on every backend; `new` is in
 * cmd_session_new.c.
 *
 * `ls --json`: {"sessions": [{"id", "key", "path", "backend": "fuse"|"copy", "bytes",
 * "open_files"}...]}, the last two null for copies; for sessions at rest the path, too.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/units.h"
#include "fs/client/backend.h"
#include "fs/client/session_change.h"
#include "fs/store/names.h"
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
        const struct session_row *row = &table->items[i];
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
        const struct session_row *row = &sessions->items[i];
        char key[SHORT_KEY_LENGTH + 1];
        char bytes[UNITS_TEXT_SIZE] = "-";
        (void)snprintf(key, sizeof(key), "%.*s", SHORT_KEY_LENGTH, row->key);
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

static int list(const struct arguments *arguments)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_SESSIONS struct session_table table = {0};
    int r = store_open_existing(&store);
    if (r > 0)
        r = sessions_read(store, &table);
    if (r < 0)
        return r;
    if (arguments->as_json)
        return print_rows_json(&table);
    return table.count ? print_rows(&table) : 0;
}

/* ---- rm and reset ---- */

static int change(const struct arguments *arguments, session_change *each)
{
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return sessions_change(store, arguments->operands, arguments->operand_count, each);
}

static int reset(const struct arguments *arguments)
{
    return change(arguments, session_reset);
}

static int discard(const struct arguments *arguments)
{
    return change(arguments, session_remove);
}

static const struct command command_session_ls = {
    .name = "ls",
    .run = list,
    .takes_json = true,
};

static const struct command command_session_reset = {
    .name = "reset",
    .run = reset,
    .operands_min = 1,
    .operands_max = OPERANDS_ANY,
    .operands_error = "wants the ID of a session",
};

static const struct command command_session_rm = {
    .name = "rm",
    .run = discard,
    .operands_min = 1,
    .operands_max = OPERANDS_ANY,
    .operands_error = "wants the ID of a session",
};

static const struct command *const actions[] = {
    &command_session_new, &command_session_ls, &command_session_reset, &command_session_rm, NULL,
};

const struct command command_session = {
    .name = "session",
    .synopsis = "new [KEY|NAME] [ID] [--ttl T] [--owner PID] [--url | --json] | ls [--json] | "
                "reset ID... | rm ID...",
    .summary = "create, list, reset and remove writable copies of a template",
    .actions = actions,
};
