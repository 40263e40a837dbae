/*
 * mintfs stats: prints what the cache saved, by day and in total.
 *
 * With --json: {"days": [{"day": "YYYY-MM-DD", SUMS}...], "total": {SUMS}, "now": {"templates",
 * "bytes", "sessions", "own_bytes"}}, where SUMS are "hits", "misses", "builds", "build_time_ns",
 * "saved_ns", "built_bytes", "evicted", "evicted_bytes", "sessions", "requests". A running daemon's
 * sessions and requests count as today's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/units.h"
#include "fs/client/daemon_control.h"
#include "fs/client/listing.h"
#include "fs/mount/serve.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/store_open.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

static const char *const sums[] = {"hits",     "misses",      "builds",  "build_time_ns",
                                   "saved_ns", "built_bytes", "evicted", "evicted_bytes",
                                   "sessions", "requests"};

static int add_day(const struct catalog_day *day, void *context)
{
    return json_array_append_new(
               context,
               json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "day", day->day,
                         "hits", (json_int_t)day->hits, "misses", (json_int_t)day->misses, "builds",
                         (json_int_t)day->builds, "build_time_ns", (json_int_t)day->build_time_ns,
                         "saved_ns", (json_int_t)day->saved_ns, "built_bytes",
                         (json_int_t)day->built_bytes, "evicted", (json_int_t)day->evicted,
                         "evicted_bytes", (json_int_t)day->evicted_bytes, "sessions",
                         (json_int_t)day->sessions, "requests", (json_int_t)day->requests)) < 0
               ? -ENOMEM
               : 0;
}

static void add_number(json_t *json, const char *member, json_int_t number)
{
    (void)json_object_set_new(
        json, member, json_integer(json_integer_value(json_object_get(json, member)) + number));
}

/* Today's row, which is the last; added if it is missing. */
static json_t *find_today(json_t *days)
{
    char today[16];
    time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local) || !strftime(today, sizeof(today), "%Y-%m-%d", &local))
        return NULL;
    json_t *last = json_array_get(days, json_array_size(days) - 1);
    if (last && !strcmp(json_string_value(json_object_get(last, "day")), today))
        return last;
    json_t *row = json_pack("{s:s}", "day", today);
    for (size_t i = 0; row && i < ARRAY_LENGTH(sums); i++)
        (void)json_object_set_new(row, sums[i], json_integer(0));
    return json_array_append_new(days, row) < 0 ? NULL : row;
}

/* Adds the counts that the running daemon has not written to the catalog yet. */
static int add_live(const struct store *store, json_t *days)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    int r = serve_find(store, &found);
    if (r <= 0)
        return r;
    json_t *status;
    if (daemon_read_status(found.mount_point, &status, NULL) < 0)
        return 0;
    const json_t *counters = json_object_get(status, "counters");
    json_t *requests = json_object_get(counters, "requests");
    json_t *today = find_today(days);
    const char *kind;
    json_t *count;
    if (today) {
        add_number(today, "sessions",
                   json_integer_value(json_object_get(counters, "sessions_made")));
        json_object_foreach(requests, kind, count)
            add_number(today, "requests", json_integer_value(count));
    }
    json_decref(status);
    return 0;
}

static json_t *sum_up(const json_t *days)
{
    json_t *total = json_object();
    for (size_t i = 0; total && i < ARRAY_LENGTH(sums); i++) {
        json_int_t sum = 0;
        for (size_t j = 0; j < json_array_size(days); j++)
            sum += json_integer_value(json_object_get(json_array_get(days, j), sums[i]));
        (void)json_object_set_new(total, sums[i], json_integer(sum));
    }
    return total;
}

static json_t *now_of(const struct template_listing *listing)
{
    json_int_t bytes = 0;
    json_int_t own = 0;
    for (size_t i = 0; i < json_array_size(listing->templates); i++)
        bytes += json_integer_value(
            json_object_get(json_array_get(listing->templates, i), "size_bytes"));
    for (size_t i = 0; i < json_array_size(listing->sessions); i++)
        own +=
            json_integer_value(json_object_get(json_array_get(listing->sessions, i), "own_bytes"));
    return json_pack("{s:I, s:I, s:I, s:I}", "templates",
                     (json_int_t)json_array_size(listing->templates), "bytes", bytes, "sessions",
                     (json_int_t)json_array_size(listing->sessions), "own_bytes", own);
}

/* ---- for people ---- */

static int64_t number(const json_t *row, const char *member)
{
    return json_integer_value(json_object_get(row, member));
}

static int add_row(struct columns *table, const char *title, const json_t *row)
{
    char texts[9][UNITS_TEXT_SIZE];
    static const char *const counts[] = {"hits",    "misses",   "builds",
                                         "evicted", "sessions", "requests"};
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        (void)snprintf(texts[i], UNITS_TEXT_SIZE, "%" PRId64, number(row, counts[i]));
    const char *cells[] = {title,
                           texts[0],
                           texts[1],
                           texts[2],
                           units_format_duration(number(row, "saved_ns"), texts[6]),
                           units_format_duration(number(row, "build_time_ns"), texts[7]),
                           units_format_size((uint64_t)number(row, "built_bytes"), texts[8]),
                           texts[3],
                           texts[4],
                           texts[5]};
    return columns_add(table, cells);
}

static int print_text(const json_t *days, const json_t *total, const json_t *now)
{
    static const struct column columns[] = {
        {.title = "DAY"},
        {.title = "HITS", .right = true},
        {.title = "MISSES", .right = true, .rank = 1},
        {.title = "BUILDS", .right = true, .rank = 5},
        {.title = "SAVED", .right = true},
        {.title = "SPENT", .right = true, .rank = 4},
        {.title = "BUILT", .right = true, .rank = 6},
        {.title = "EVICTED", .right = true, .rank = 7},
        {.title = "SESSIONS", .right = true, .rank = 2},
        {.title = "REQUESTS", .right = true, .rank = 3},
    };
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < json_array_size(days); i++) {
        const json_t *row = json_array_get(days, i);
        r = add_row(table, json_string_value(json_object_get(row, "day")), row);
    }
    if (r == 0)
        r = add_row(table, "in all", total);
    if (r < 0)
        return r;
    columns_print(table);
    char templates[UNITS_TEXT_SIZE];
    char sessions[UNITS_TEXT_SIZE];
    char bytes[UNITS_TEXT_SIZE];
    char own[UNITS_TEXT_SIZE];
    output_line("now: %s, %s; %s, %s of their own",
                units_format_count((uint64_t)number(now, "templates"), "template", templates),
                units_format_size((uint64_t)number(now, "bytes"), bytes),
                units_format_count((uint64_t)number(now, "sessions"), "session", sessions),
                units_format_size((uint64_t)number(now, "own_bytes"), own));
    return 0;
}

static int run(const struct arguments *arguments)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_LISTING struct template_listing listing = {.templates = NULL};
    json_t *days = json_array();
    int r = days ? store_open_existing(&store) : -ENOMEM;
    if (r >= 0)
        r = template_listing_read(store, &listing);
    if (r == 0 && store)
        r = catalog_each_day(store->catalog, add_day, days);
    if (r == 0 && store)
        r = add_live(store, days);
    json_t *total = r == 0 ? sum_up(days) : NULL;
    json_t *now = r == 0 ? now_of(&listing) : NULL;
    if (r == 0 && arguments->as_json)
        r = output_json(json_pack("{s:O, s:O, s:O}", "days", days, "total", total, "now", now));
    else if (r == 0)
        r = print_text(days, total, now);
    json_decref(days);
    json_decref(total);
    json_decref(now);
    return r;
}

const struct command command_stats = {
    .name = "stats",
    .synopsis = "[--json]",
    .summary = "show what the cache saved, by day and in all",
    .run = run,
    .takes_json = true,
};
