/*
 * mintfs name: what names stand for: listed, set, taken away.
 *
 * `--json`: {"names": [{"name", "key"}...]}.
 */
#include <getopt.h>
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

static int add_json(const char *name, const char *key, void *context)
{
    return json_array_append_new(context, json_pack("{s:s, s:s}", "name", name, "key", key)) < 0
               ? -ENOMEM
               : 0;
}

static int add_row(const char *name, const char *key, void *context)
{
    char short_key[SHOWN_KEY + 1];
    (void)snprintf(short_key, sizeof(short_key), "%s", key);
    return columns_add(context, (const char *const[]){name, short_key});
}

/* `store`: NULL where there is none. */
static int list(const struct store *store, bool as_json)
{
    static const struct column columns[] = {{.title = "NAME", .cut = true}, {.title = "KEY"}};
    if (as_json) {
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
        return log_fail(EINVAL,
                        "\"%s\" is no name: 1 to 64 of [A-Za-z0-9._-], no leading dot, not all "
                        "hexadecimal digits from four on",
                        name);
    int r = named_resolve(store, text, key);
    return r < 0 ? r : catalog_name(store->catalog, name, key);
}

static int drop(const struct store *store, const char *name)
{
    int r = catalog_name(store->catalog, name, NULL);
    return r == -ENOENT ? log_fail(ENOENT, "no name \"%s\"; mintfs name lists them", name) : r;
}

int cmd_name(int argc, char **argv)
{
    static const struct option options[] = {{"delete", no_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    bool as_json = false;
    bool deletes = false;
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "dh", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        if (option == '?')
            return command_bad_option(argv[0], "", argv);
        *(option == 'd' ? &deletes : &as_json) = true;
    }
    int operands = argc - optind;
    if (deletes && (operands == 0 || as_json))
        return command_usage(argv[0], "--delete wants names, and nothing else");
    if (!deletes && operands != 0 && (operands != 2 || as_json))
        return command_usage(argv[0], "wants a new NAME and the KEY or NAME that it is to stand "
                                      "for, or nothing");
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r == 0 && operands)
        return EXIT_MISSING;
    int first_error = r < 0 ? r : 0;
    if (r > 0 && deletes)
        for (int i = optind; i < argc; i++) {
            r = drop(store, argv[i]);
            first_error = first_error ? first_error : r;
        }
    else if (r >= 0)
        first_error = operands ? set(store, argv[optind], argv[optind + 1]) : list(store, as_json);
    return first_error < 0 ? command_status(first_error) : command_flush();
}
