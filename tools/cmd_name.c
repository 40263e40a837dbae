/*
 * mintfs name: lists, sets and removes names of templates.
 *
 * `--json`: {"names": [{"name", "key"}...]}.
 */
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/store/catalog.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

struct name_request {
    bool deletes;
};

static int add_json(const char *name, const char *key, void *context)
{
    return json_array_append_new(context, json_pack("{s:s, s:s}", "name", name, "key", key)) < 0
               ? -ENOMEM
               : 0;
}

static int add_row(const char *name, const char *key, void *context)
{
    char short_key[SHORT_KEY_LENGTH + 1];
    (void)snprintf(short_key, sizeof(short_key), "%s", key);
    return columns_add(context, (const char *const[]){name, short_key});
}

/* `store` is NULL if there is none. */
static int list(const struct store *store, const struct arguments *arguments)
{
    static const struct column columns[] = {{.title = "NAME", .cut = true}, {.title = "KEY"}};
    if (arguments->as_json) {
        json_t *rows = json_array();
        int r = !rows ? -ENOMEM : store ? template_each_name(store, add_json, rows) : 0;
        if (r == 0)
            return output_json(json_pack("{s:o}", "names", rows));
        json_decref(rows);
        return r;
    }
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    if (r == 0 && store)
        r = template_each_name(store, add_row, table);
    if (r == 0 && columns_rows(table))
        columns_print(table);
    return r;
}

static int set(const struct store *store, const char *name, const char *text)
{
    char key[SHA256_HEX_LENGTH + 1];
    if (!name_is_valid(name))
        return log_fail(EINVAL, "\"%s\" is no name: " NAME_RULES, name);
    int r = named_resolve(store, text, key);
    return r < 0 ? r : catalog_name(store->catalog, name, key);
}

static int drop(const struct store *store, const char *name)
{
    int r = catalog_name(store->catalog, name, NULL);
    return r == -ENOENT ? log_fail(ENOENT, "no name \"%s\"; mintfs name lists them", name) : r;
}

static int drop_all(const struct store *store, char *const *names)
{
    int first_error = 0;
    for (; *names; names++) {
        int r = drop(store, *names);
        first_error = first_error ? first_error : r;
    }
    return first_error;
}

static int run(const struct arguments *arguments)
{
    const struct name_request *request = arguments->request;
    char *const *operands = arguments->operands;
    unsigned count = arguments->operand_count;
    if (request->deletes && (count == 0 || arguments->as_json))
        return usage_error(arguments, "--delete wants names, and nothing else");
    if (!request->deletes && count != 0 && (count != 2 || arguments->as_json))
        return usage_error(arguments, "wants a new NAME and the KEY or NAME that it is to mean, or "
                                      "nothing");
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r < 0 || (r == 0 && count))
        return r < 0 ? r : -ENOENT;
    if (request->deletes)
        return drop_all(store, operands);
    return count ? set(store, operands[0], operands[1]) : list(store, arguments);
}

static const struct command_option options[] = {
    OPTION_SWITCH("delete", 'd', name_request, deletes),
    OPTIONS_END,
};

const struct command command_name = {
    .name = "name",
    .synopsis = "[--json] | NAME KEY|NAME | -d NAME...",
    .summary = "list, set and remove the names of templates",
    .run = run,
    .request_size = sizeof(struct name_request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .takes_json = true,
};
