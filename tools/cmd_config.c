/*
 * mintfs config: prints each setting with its value and where that is set, or one value alone.
 *
 * With --json: {"file", "settings": [{"name", "value", "from": "default"|"file"|"variable",
 * "where", "variable", "meaning"}...]}; "where" is FILE:LINE or the variable, or null. An
 * invalid value is null, is reported on stderr, and makes the exit status 1.
 */
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/mount/mountpoint.h"
#include "fs/store/settings.h"
#include "fs/store/store_open.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

/* The default of a setting whose default depends on the machine. */
static char *compute_default(enum setting setting)
{
    char *path = NULL;
    bool in_tmp;
    if (setting == SETTING_STORE)
        return store_path(&path) == 0 ? path : NULL;
    return mountpoint_default_path(&path, &in_tmp) == 0 ? path : NULL;
}

static int describe(enum setting setting, json_t *rows)
{
    static const char *const origins[] = {
        [ORIGIN_DEFAULT] = "default", [ORIGIN_FILE] = "file", [ORIGIN_VARIABLE] = "variable"};
    struct setting_value value;
    int r = settings_get(setting, &value);
    /* The error was logged. The other settings are still printed. */
    if (r < 0)
        value = (struct setting_value){.origin = ORIGIN_VARIABLE};
    AUTO_FREE char *default_text = r < 0 || value.text ? NULL : compute_default(setting);
    AUTO_FREE char *where =
        value.origin == ORIGIN_FILE ? text_format("%s:%d", settings_path(), value.line) : NULL;
    json_t *row =
        json_pack("{s:s, s:o, s:s, s:o, s:s, s:s}", "name", settings_name(setting), "value",
                  value.text     ? json_text(value.text)
                  : default_text ? json_text(default_text)
                                 : json_null(),
                  "from", origins[value.origin], "where",
                  value.origin == ORIGIN_FILE       ? json_text(where ? where : "")
                  : value.origin == ORIGIN_VARIABLE ? json_string(settings_variable(setting))
                                                    : json_null(),
                  "variable", settings_variable(setting), "meaning", settings_meaning(setting));
    return json_array_append_new(rows, row) < 0 ? log_errno(ENOMEM, "config") : r;
}

/* Describes all settings; -EINVAL if one is invalid, which was logged. */
static int describe_all(json_t *rows)
{
    const struct strlist *faults = settings_take_faults();
    int first_error = faults->count ? -EINVAL : 0;
    for (size_t i = 0; i < faults->count; i++)
        log_error("%s", faults->items[i]);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        int r = describe((enum setting)i, rows);
        if (r == -ENOMEM)
            return r;
        first_error = r < 0 ? r : first_error;
    }
    return first_error;
}

static const char *text(const json_t *row, const char *member)
{
    const char *value = json_string_value(json_object_get(row, member));
    return value ? value : "-";
}

static int print_text(const json_t *rows)
{
    static const struct column columns[] = {{.title = "SETTING"},
                                            {.title = "VALUE"},
                                            {.title = "FROM", .rank = 1},
                                            {.title = "MEANING", .rank = 2}};
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bool has_place = json_is_string(json_object_get(row, "where"));
        const char *cells[] = {text(row, "name"), text(row, "value"),
                               text(row, has_place ? "where" : "from"), text(row, "meaning")};
        r = columns_add(table, cells);
    }
    if (r == 0)
        columns_print(table);
    return r;
}

/* The value alone, for scripts. */
static int print_value(const struct arguments *arguments)
{
    const char *name = arguments->operands[0];
    struct setting_value value;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(name, settings_name((enum setting)i)) != 0)
            continue;
        int r = settings_get((enum setting)i, &value);
        AUTO_FREE char *default_text =
            r < 0 || value.text ? NULL : compute_default((enum setting)i);
        if (r == 0 && !value.text && !default_text)
            r = -ENOENT; /* logged */
        if (r == 0)
            printf("%s\n", value.text ? value.text : default_text);
        return r;
    }
    return usage_error(arguments,
                       "takes no operand: %s; the name of a setting shows its value, and they "
                       "are changed in %s",
                       name, settings_path() ? settings_path() : "mintfs.conf");
}

static int run(const struct arguments *arguments)
{
    if (arguments->operand_count && arguments->as_json)
        return usage_error(arguments, "wants one SETTING, or --json");
    if (arguments->operand_count)
        return print_value(arguments);
    json_t *rows = json_array();
    int problem = rows ? describe_all(rows) : -ENOMEM;
    int r = problem == -ENOMEM ? problem : 0;
    if (r == 0 && arguments->as_json)
        r = output_json(json_pack("{s:o, s:O}", "file",
                                  settings_path() ? json_text(settings_path()) : json_null(),
                                  "settings", rows));
    else if (r == 0)
        r = print_text(rows);
    if (r == 0 && !arguments->as_json && settings_path())
        log_info("your own settings are in %s, as NAME = VALUE", settings_path());
    json_decref(rows);
    return r == 0 && problem < 0 ? EXIT_FAILED : r;
}

const struct command command_config = {
    .name = "config",
    .synopsis = "[SETTING | --json]",
    .summary = "show each setting and where it is set",
    .run = run,
    .operands_max = 1,
    .operands_error = "wants one SETTING, or --json",
    .takes_json = true,
};
