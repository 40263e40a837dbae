/*
 * mintfs gc: evicts templates until the store is within its limits.
 *
 * `--json`: {"evicted": [{"key", "names", "size_bytes", "last_used_ns"}...], "evicted_bytes",
 * "kept": [{"key", "names", "size_bytes", "last_used_ns", "reason", "why"}...], "left",
 * "left_bytes", "over", "dry_run"}.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/gc_policy.h"
#include "fs/store/catalog_list.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"
#include "tools/command.h"
#include "tools/output.h"

enum { OPTION_SIZE = 256, OPTION_AGE, OPTION_KEEP, OPTION_JSON };

static const struct option options[] = {
    {"max-size", required_argument, NULL, OPTION_SIZE},
    {"max-age", required_argument, NULL, OPTION_AGE},
    {"keep", required_argument, NULL, OPTION_KEEP},
    {"name", required_argument, NULL, 'n'},
    {"dry-run", no_argument, NULL, 'd'},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct telling {
    bool as_json;
    bool dry_run;
    json_t *evicted;
    json_t *kept;
};

static void telling_fini(struct telling *telling)
{
    json_decref(telling->evicted);
    json_decref(telling->kept);
}

static void tell(const struct catalog_row *row, enum gc_fate fate, void *context)
{
    struct telling *telling = context;
    char size[UNITS_TEXT_SIZE];
    char age[UNITS_TEXT_SIZE];
    bool evicted = fate == GC_EVICTED;
    if (fate == GC_GONE || fate == GC_FAILED)
        return;
    if (telling->as_json) {
        json_t *json = json_pack("{s:s, s:o, s:I, s:I}", "key", row->key, "names",
                                 json_words(row->names), "size_bytes", (json_int_t)row->size_bytes,
                                 "last_used_ns", (json_int_t)row->last_used_ns);
        if (json && !evicted) {
            (void)json_object_set_new(json, "reason", json_string(gc_policy_reason(fate)));
            (void)json_object_set_new(json, "why", json_string(gc_policy_describe(fate)));
        }
        (void)json_array_append_new(evicted ? telling->evicted : telling->kept, json);
        return;
    }
    if (!evicted)
        log_info("kept %.*s: %s", SHOWN_KEY, row->key, gc_policy_describe(fate));
    else
        output_line("%.*s  %s  %s  last used %s ago", SHOWN_KEY, row->key,
                    row->names[0]   ? row->names
                    : row->label[0] ? row->label
                                    : "-",
                    units_format_size(row->size_bytes, size),
                    units_format_age(row->last_used_ns, age));
}

struct asked {
    struct gc_limits limits;
    const char *name;
};

static void take_option(int option, struct asked *asked, struct telling *telling)
{
    switch (option) {
    case OPTION_SIZE:
        asked->limits.max_size = optarg;
        break;
    case OPTION_AGE:
        asked->limits.max_age = optarg;
        break;
    case OPTION_KEEP:
        asked->limits.keep = optarg;
        break;
    case 'n':
        asked->name = optarg;
        break;
    case 'd':
        telling->dry_run = true;
        break;
    default:
        telling->as_json = true;
        break;
    }
}

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_arguments(int argc, char **argv, struct asked *asked, struct telling *telling)
{
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":n:dh", options, NULL)) >= 0;) {
        if (option == 'h')
            return -1;
        if (option == ':')
            return command_usage(argv[0], "%s wants a value", argv[optind - 1]);
        if (option == '?')
            return command_bad_option(argv[0], "", argv);
        take_option(option, asked, telling);
    }
    if (optind < argc)
        return command_usage(argv[0], "takes no operand: %s; mintfs evict takes keys and names",
                             argv[optind]);
    if (asked->name && !name_is_valid(asked->name)) {
        log_error("gc: --name: \"%s\" is no name", asked->name);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static int print_summary(const struct gc_result *result, struct telling *telling)
{
    char bytes[UNITS_TEXT_SIZE];
    char left[UNITS_TEXT_SIZE];
    char evicted[UNITS_TEXT_SIZE];
    if (telling->as_json)
        return output_json(json_pack(
            "{s:O, s:I, s:O, s:I, s:I, s:b, s:b}", "evicted", telling->evicted, "evicted_bytes",
            (json_int_t)result->evicted_bytes, "kept", telling->kept, "left",
            (json_int_t)result->left, "left_bytes", (json_int_t)result->left_bytes, "over",
            result->over, "dry_run", telling->dry_run));
    log_info("%s %s, %s; %zu left, %s", telling->dry_run ? "would evict" : "evicted",
             units_format_count(result->evicted, "template", evicted),
             units_format_size(result->evicted_bytes, bytes), result->left,
             units_format_size(result->left_bytes, left));
    if (result->over)
        log_warning("what is left is over the limit, but in use, pinned, kept or being built");
    return 0;
}

static int collect(const struct asked *asked, struct telling *telling)
{
    struct gc_options wanted;
    struct gc_result result = {0};
    AUTO_STORE struct store *store = NULL;
    int r = gc_policy_options(&asked->limits, &wanted);
    if (r < 0)
        return r;
    wanted.name = asked->name;
    wanted.dry_run = telling->dry_run;
    wanted.report = tell;
    wanted.context = telling;
    r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : print_summary(&result, telling);
    r = gc_policy_run(store, &wanted, &result);
    if (r < 0)
        return r;
    if (result.is_clock_in_doubt && wanted.max_age_ns != GC_NO_AGE)
        log_info(
            "the clock differs by more than a day from the last use of the store: no template is "
            "evicted by its age until a command in an hour or later confirms the clock");
    if (wanted.name && result.left + result.evicted == 0)
        log_info("no template has the name \"%s\"; mintfs ls lists them", wanted.name);
    return print_summary(&result, telling);
}

int cmd_gc(int argc, char **argv)
{
    struct asked asked = {.name = NULL};
    CLEANUP(telling_fini)
    struct telling telling = {.evicted = json_array(), .kept = json_array()};
    int status = read_arguments(argc, argv, &asked, &telling);
    if (status != EXIT_DONE)
        return status < 0 ? command_help(argv[0]) : status;
    int r = collect(&asked, &telling);
    return r < 0 ? command_status(r) : command_flush();
}
