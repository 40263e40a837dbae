/*
 * mintfs ls: the templates in the store, the one used last first.
 *
 * With --json: {"templates": [{"key", "names", "file", "size_bytes", "file_count", "created_ns",
 * "build_time_ns", "last_used_ns", "hits", "saved_ns", "pinned"}...]}; times in nanoseconds, dates
 * since 1970.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/log.h"
#include "fs/store/catalog.h"
#include "fs/store/store.h"
#include "fs/store/template.h"
#include "tools/command.h"

enum { SHORT_KEY = 12 };

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

struct listing {
    const struct store *store;
    json_t *rows;
};

static void listing_fini(struct listing *listing)
{
    json_decref(listing->rows);
}

static json_t *split_names(const char *names)
{
    json_t *array = json_array();
    while (array && *names) {
        size_t length = strcspn(names, " ");
        if (json_array_append_new(array, json_stringn(names, length)) < 0) {
            json_decref(array);
            return NULL;
        }
        names += length + (names[length] == ' ');
    }
    return array;
}

/* The catalog may be behind the store by a template that was removed by hand. */
static int add_row(const struct catalog_row *row, void *context)
{
    struct listing *listing = context;
    if (!template_exists(listing->store, row->key))
        return 0;
    json_t *json = json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "key",
                             row->key, "names", split_names(row->names), "file", row->file,
                             "size_bytes", (json_int_t)row->size_bytes, "file_count",
                             (json_int_t)row->file_count, "created_ns", (json_int_t)row->created_ns,
                             "build_time_ns", (json_int_t)row->build_time_ns, "last_used_ns",
                             (json_int_t)row->last_used_ns, "hits", (json_int_t)row->hits,
                             "saved_ns", (json_int_t)row->saved_ns, "pinned", row->pinned);
    return json_array_append_new(listing->rows, json) < 0 ? -ENOMEM : 0;
}

/* One that the catalog has not met is checked and entered by opening it. */
static int enter(const char *key, const char *same UNUSED, void *context)
{
    const struct listing *listing = context;
    if (catalog_is_verified(listing->store->catalog, key) == 1)
        return 0;
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(listing->store, key, &template);
    return r == -EPROTONOSUPPORT || r == -ENOMEM ? r : 0;
}

static int64_t number(const json_t *row, const char *member)
{
    return json_integer_value(json_object_get(row, member));
}

static void format_size(int64_t bytes, char *ret_text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        value /= 1024;
    (void)snprintf(ret_text, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void format_time(int64_t ns, char *ret_text, size_t size)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm local;
    if (!localtime_r(&seconds, &local) || !strftime(ret_text, size, "%Y-%m-%d %H:%M", &local))
        (void)snprintf(ret_text, size, "-");
}

static char *join_names(const json_t *row)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    const json_t *names = json_object_get(row, "names");
    for (size_t i = 0; stream && i < json_array_size(names); i++)
        (void)fprintf(stream, "%s%s", i ? "," : "", json_string_value(json_array_get(names, i)));
    if (!stream || fclose(stream) != 0)
        return NULL;
    return text && *text ? steal_pointer(&text) : strdup("-");
}

static int name_width(const json_t *rows)
{
    int width = (int)strlen("NAME");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        AUTO_FREE char *names = join_names(json_array_get(rows, i));
        int length = names ? (int)strlen(names) : 0;
        width = length > width ? length : width;
    }
    return width;
}

static void print_table(const json_t *rows)
{
    int width = name_width(rows);
    printf("%-*s  %-*s  %10s  %-16s  %5s  %-16s\n", width, "NAME", SHORT_KEY, "KEY", "SIZE", "MADE",
           "HITS", "LAST USED");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char size[32];
        char made[32];
        char used[32];
        AUTO_FREE char *names = join_names(row);
        format_size(number(row, "size_bytes"), size, sizeof(size));
        format_time(number(row, "created_ns"), made, sizeof(made));
        format_time(number(row, "last_used_ns"), used, sizeof(used));
        printf("%-*s  %.*s  %10s  %-16s  %5" PRId64 "  %-16s\n", width, names ? names : "-",
               SHORT_KEY, json_string_value(json_object_get(row, "key")), size, made,
               number(row, "hits"), used);
    }
}

static int print_json(const json_t *rows)
{
    json_t *root = json_pack("{s:O}", "templates", rows);
    int r = root && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 ? 0 : -EIO;
    json_decref(root);
    printf("\n");
    return r;
}

static int list(bool as_json)
{
    AUTO_STORE struct store *store = NULL;
    int r = store_open(&store);
    CLEANUP(listing_fini) struct listing listing = {.store = store, .rows = json_array()};
    if (r == 0)
        r = listing.rows ? template_each_key(store, enter, &listing) : -ENOMEM;
    if (r == 0)
        r = catalog_each(store->catalog, add_row, &listing);
    if (r < 0)
        return r;
    if (as_json)
        return print_json(listing.rows);
    if (json_array_size(listing.rows))
        print_table(listing.rows);
    else
        log_info("no templates in %s yet", store->path);
    return 0;
}

int cmd_ls(int argc, char **argv)
{
    bool as_json = false;
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "+h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        if (option != 'j')
            return command_usage(argv[0], "unknown option %s", argv[optind - 1]);
        as_json = true;
    }
    if (optind < argc)
        return command_usage(argv[0], "takes no operand: %s", argv[optind]);
    int r = list(as_json);
    return r < 0 ? command_status(r) : command_flush();
}
