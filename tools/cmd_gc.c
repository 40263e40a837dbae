/*
 * mintfs gc: evicts templates until the store is within its limits.
 *
 * `--json`: {"evicted": [{"key", "names", "size_bytes", "last_used_ns"}...], "evicted_bytes",
 * "kept": [{"key", "names", "size_bytes", "last_used_ns", "reason", "why"}...], "left",
 * "left_bytes", "over", "dry_run"}.
 */
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

struct gc_request {
    struct gc_limits limits;
    const char *name;
    bool dry_run;
};

struct report {
    bool as_json;
    bool dry_run;
    json_t *evicted;
    json_t *kept;
};

static void report_fini(struct report *report)
{
    json_decref(report->evicted);
    json_decref(report->kept);
}

static void add_template(const struct catalog_row *row, enum gc_outcome outcome, void *context)
{
    struct report *report = context;
    char size[UNITS_TEXT_SIZE];
    char age[UNITS_TEXT_SIZE];
    bool evicted = outcome == GC_EVICTED;
    if (outcome == GC_GONE || outcome == GC_FAILED)
        return;
    if (report->as_json) {
        json_t *json = json_pack("{s:s, s:o, s:I, s:I}", "key", row->key, "names",
                                 json_words(row->names), "size_bytes", (json_int_t)row->size_bytes,
                                 "last_used_ns", (json_int_t)row->last_used_ns);
        if (json && !evicted) {
            (void)json_object_set_new(json, "reason", json_string(gc_policy_reason(outcome)));
            (void)json_object_set_new(json, "why", json_string(gc_policy_describe(outcome)));
        }
        (void)json_array_append_new(evicted ? report->evicted : report->kept, json);
        return;
    }
    if (!evicted)
        log_info("kept %.*s: %s", SHORT_KEY_LENGTH, row->key, gc_policy_describe(outcome));
    else
        output_line("%.*s  %s  %s  last used %s ago", SHORT_KEY_LENGTH, row->key,
                    row->names[0]   ? row->names
                    : row->label[0] ? row->label
                                    : "-",
                    units_format_size(row->size_bytes, size),
                    units_format_age(row->last_used_ns, age));
}

static int print_summary(const struct gc_result *result, struct report *report)
{
    char bytes[UNITS_TEXT_SIZE];
    char left[UNITS_TEXT_SIZE];
    char evicted[UNITS_TEXT_SIZE];
    if (report->as_json)
        return output_json(json_pack(
            "{s:O, s:I, s:O, s:I, s:I, s:b, s:b}", "evicted", report->evicted, "evicted_bytes",
            (json_int_t)result->evicted_bytes, "kept", report->kept, "left",
            (json_int_t)result->left, "left_bytes", (json_int_t)result->left_bytes, "over",
            result->over, "dry_run", report->dry_run));
    log_info("%s %s, %s; %zu left, %s", report->dry_run ? "would evict" : "evicted",
             units_format_count(result->evicted, "template", evicted),
             units_format_size(result->evicted_bytes, bytes), result->left,
             units_format_size(result->left_bytes, left));
    if (result->over)
        log_warning("the templates that are left exceed the limit, but are in use, pinned, kept or "
                    "being built");
    return 0;
}

static int collect(const struct gc_request *request, struct report *report)
{
    struct gc_options wanted;
    struct gc_result result = {0};
    AUTO_STORE struct store *store = NULL;
    int r = gc_policy_options(&request->limits, &wanted);
    if (r < 0)
        return r;
    wanted.name = request->name;
    wanted.dry_run = report->dry_run;
    wanted.report = add_template;
    wanted.context = report;
    r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : print_summary(&result, report);
    r = gc_policy_run(store, &wanted, &result);
    if (r < 0)
        return r;
    if (result.is_clock_in_doubt && wanted.max_age_ns != GC_NO_AGE)
        log_info(
            "the clock differs by more than a day from the last use of the store: no template is "
            "evicted by its age until a command in an hour or later confirms the clock");
    if (wanted.name && result.left + result.evicted == 0)
        log_info("no template has the name \"%s\"; mintfs ls lists them", wanted.name);
    return print_summary(&result, report);
}

static int run(const struct arguments *arguments)
{
    const struct gc_request *request = arguments->request;
    if (request->name && !name_is_valid(request->name))
        return log_fail(EINVAL, "gc: --name: \"%s\" is no name", request->name);
    CLEANUP(report_fini)
    struct report report = {.as_json = arguments->as_json,
                            .dry_run = request->dry_run,
                            .evicted = json_array(),
                            .kept = json_array()};
    return collect(request, &report);
}

static const struct command_option options[] = {
    OPTION_TEXT("max-size", 0, "a size", gc_request, limits.max_size),
    OPTION_TEXT("max-age", 0, "a time", gc_request, limits.max_age),
    OPTION_TEXT("keep", 0, "a number", gc_request, limits.keep),
    OPTION_TEXT("name", 'n', "a name", gc_request, name),
    OPTION_SWITCH("dry-run", 'd', gc_request, dry_run),
    OPTIONS_END,
};

const struct command command_gc = {
    .name = "gc",
    .synopsis = "[--max-size SIZE] [--max-age TIME] [--keep N] [-n NAME] [-d] [--json]",
    .summary = "evict templates not used lately until the store is within its limits",
    .run = run,
    .request_size = sizeof(struct gc_request),
    .options = options,
    .operands_error = "mintfs evict takes keys and names",
    .takes_json = true,
};
