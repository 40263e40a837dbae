/*
 * mintfs ls: lists the templates in the store, the last used first, and the sessions. If there are
 * many sessions, it prints only how many each template has.
 *
 * With --json: {"templates": [...], "sessions": [...]}, as in fs/client/listing.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/listing.h"
#include "fs/store/foreign.h"
#include "fs/store/names.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

/* If there are more, they are counted, unless --all is given. */
enum { SESSIONS_SHOWN_MAX = 20 };

struct ls_request {
    bool all;
};

static int64_t number(const json_t *row, const char *member)
{
    return json_integer_value(json_object_get(row, member));
}

static const char *text(const json_t *row, const char *member)
{
    const char *value = json_string_value(json_object_get(row, member));
    return value ? value : "-";
}

/* The template's names; if it has none, the name under which it was built, in parentheses. */
static char *name_of(const json_t *row)
{
    AUTO_FREE char *joined = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&joined, &size);
    const json_t *names = json_object_get(row, "names");
    if (!stream)
        return NULL;
    for (size_t i = 0; i < json_array_size(names); i++)
        (void)fprintf(stream, "%s%s", i ? "," : "", json_string_value(json_array_get(names, i)));
    if (json_array_size(names) == 0 && *text(row, "label"))
        (void)fprintf(stream, "(%s)", text(row, "label"));
    if (fclose(stream) != 0)
        return NULL;
    return *joined ? steal_pointer(&joined) : strdup("-");
}

static int add_template(struct columns *table, const json_t *row)
{
    char key[SHORT_KEY_LENGTH + 1];
    char size[UNITS_TEXT_SIZE];
    char shared[UNITS_TEXT_SIZE];
    char own[UNITS_TEXT_SIZE];
    char made[UNITS_TEXT_SIZE];
    char used[UNITS_TEXT_SIZE];
    char saved[UNITS_TEXT_SIZE];
    char hits[UNITS_TEXT_SIZE];
    char sessions[UNITS_TEXT_SIZE];
    AUTO_FREE char *name = name_of(row);
    if (!name)
        return -ENOMEM;
    (void)snprintf(key, sizeof(key), "%s", text(row, "key"));
    (void)snprintf(hits, sizeof(hits), "%" PRId64, number(row, "hits"));
    (void)snprintf(sessions, sizeof(sessions), "%" PRId64, number(row, "sessions"));
    const char *cells[] = {
        name,
        key,
        units_format_size((uint64_t)number(row, "size_bytes"), size),
        sessions,
        units_format_size((uint64_t)number(row, "shared_bytes"), shared),
        units_format_size((uint64_t)number(row, "own_bytes"), own),
        units_format_age(number(row, "created_ns"), made),
        units_format_age(number(row, "last_used_ns"), used),
        hits,
        units_format_duration(number(row, "saved_ns"), saved),
        json_is_true(json_object_get(row, "pinned")) ? "pinned" : "",
        text(row, "builder"),
    };
    return columns_add(table, cells);
}

static int print_templates(const json_t *rows)
{
    static const struct column columns[] = {
        {.title = "NAME", .cut = true},
        {.title = "KEY"},
        {.title = "SIZE", .right = true, .rank = 1},
        {.title = "SESSIONS", .right = true, .rank = 3},
        {.title = "SHARED", .right = true, .rank = 7},
        {.title = "OWN", .right = true, .rank = 6},
        {.title = "MADE", .right = true, .rank = 5},
        {.title = "USED", .right = true, .rank = 2},
        {.title = "HITS", .right = true, .rank = 4},
        {.title = "SAVED", .right = true, .rank = 4},
        {.title = "PIN", .rank = 8},
        {.title = "BY", .cut = true, .rank = 9},
    };
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < json_array_size(rows); i++)
        r = add_template(table, json_array_get(rows, i));
    if (r == 0)
        columns_print(table);
    return r;
}

static int add_session(struct columns *table, const json_t *row)
{
    char key[SHORT_KEY_LENGTH + 1];
    char shared[UNITS_TEXT_SIZE] = "-";
    char own[UNITS_TEXT_SIZE] = "-";
    char open[UNITS_TEXT_SIZE] = "-";
    (void)snprintf(key, sizeof(key), "%s", text(row, "key"));
    if (json_is_integer(json_object_get(row, "own_bytes"))) {
        (void)units_format_size((uint64_t)number(row, "shared_bytes"), shared);
        (void)units_format_size((uint64_t)number(row, "own_bytes"), own);
    }
    if (json_is_integer(json_object_get(row, "open_files")))
        (void)snprintf(open, sizeof(open), "%" PRId64, number(row, "open_files"));
    const char *cells[] = {text(row, "id"),  key, text(row, "state"), shared, own, open,
                           text(row, "path")};
    return columns_add(table, cells);
}

static int print_sessions(const json_t *rows)
{
    static const struct column columns[] = {
        {.title = "SESSION", .cut = true},
        {.title = "KEY"},
        {.title = "STATE", .rank = 1},
        {.title = "SHARED", .right = true, .rank = 4},
        {.title = "OWN", .right = true, .rank = 2},
        {.title = "OPEN", .right = true, .rank = 3},
        {.title = "PATH", .rank = 5},
    };
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < json_array_size(rows); i++)
        r = add_session(table, json_array_get(rows, i));
    if (r == 0)
        columns_print(table);
    return r;
}

/* The sessions of one template in one state. */
struct session_group {
    const char *key;
    const char *state;
    uint64_t count;
    uint64_t shared_bytes;
    uint64_t own_bytes;
    uint64_t open_files;
};

static int compare_groups(const void *a, const void *b)
{
    const struct session_group *left = a;
    const struct session_group *right = b;
    int order = strcmp(left->key, right->key);
    return order ? order : strcmp(left->state, right->state);
}

/* Makes a group of each row, and then merges groups of the same template and state. */
static size_t group_sessions(const json_t *rows, struct session_group *groups)
{
    size_t count = json_array_size(rows);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        groups[i] = (struct session_group){
            .key = text(row, "key"),
            .state = text(row, "state"),
            .count = 1,
            .shared_bytes = (uint64_t)number(row, "shared_bytes"),
            .own_bytes = (uint64_t)number(row, "own_bytes"),
            .open_files = (uint64_t)number(row, "open_files"),
        };
    }
    qsort(groups, count, sizeof(*groups), compare_groups);
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (compare_groups(&groups[last], &groups[i]) != 0) {
            groups[++last] = groups[i];
            continue;
        }
        groups[last].count += groups[i].count;
        groups[last].shared_bytes += groups[i].shared_bytes;
        groups[last].own_bytes += groups[i].own_bytes;
        groups[last].open_files += groups[i].open_files;
    }
    return last + 1;
}

static int add_group(struct columns *table, const struct session_group *group)
{
    char key[SHORT_KEY_LENGTH + 1];
    char count[UNITS_TEXT_SIZE];
    char shared[UNITS_TEXT_SIZE];
    char own[UNITS_TEXT_SIZE];
    char open[UNITS_TEXT_SIZE];
    (void)snprintf(key, sizeof(key), "%s", group->key);
    (void)snprintf(count, sizeof(count), "%" PRIu64, group->count);
    (void)snprintf(open, sizeof(open), "%" PRIu64, group->open_files);
    bool has_bytes = strcmp(group->state, "at rest") != 0;
    bool has_open = strcmp(group->state, "live") == 0;
    const char *cells[] = {key,
                           group->state,
                           count,
                           has_bytes ? units_format_size(group->shared_bytes, shared) : "-",
                           has_bytes ? units_format_size(group->own_bytes, own) : "-",
                           has_open ? open : "-"};
    return columns_add(table, cells);
}

static int print_session_counts(const json_t *rows)
{
    static const struct column columns[] = {
        {.title = "KEY"},
        {.title = "STATE", .rank = 1},
        {.title = "SESSIONS", .right = true},
        {.title = "SHARED", .right = true, .rank = 4},
        {.title = "OWN", .right = true, .rank = 2},
        {.title = "OPEN", .right = true, .rank = 3},
    };
    AUTO_FREE struct session_group *groups = calloc(json_array_size(rows), sizeof(*groups));
    AUTO_TABLE struct columns *table = NULL;
    int r = groups ? columns_new(columns, ARRAY_LENGTH(columns), &table) : -ENOMEM;
    size_t count = r == 0 ? group_sessions(rows, groups) : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_group(table, &groups[i]);
    if (r < 0)
        return r;
    columns_print(table);
    log_info("%zu sessions; mintfs session ls lists them", json_array_size(rows));
    return 0;
}

static int run(const struct arguments *arguments)
{
    const struct ls_request *request = arguments->request;
    AUTO_STORE struct store *store = NULL;
    AUTO_LISTING struct template_listing listing = {.templates = NULL};
    struct foreign foreign = {.count = 0};
    int r = store_open_existing(&store);
    if (r >= 0)
        r = template_listing_read(store, &listing);
    if (r >= 0 && store)
        r = foreign_find(store, "", &foreign);
    if (r < 0)
        return r;
    if (foreign.count)
        (void)foreign_log(store, &foreign);
    if (arguments->as_json)
        return output_json(
            json_pack("{s:O, s:O}", "templates", listing.templates, "sessions", listing.sessions));
    if (json_array_size(listing.templates))
        r = print_templates(listing.templates);
    else if (store && !foreign.count)
        log_info("no templates in %s yet", store->path);
    if (r == 0 && json_array_size(listing.sessions)) {
        printf("\n");
        bool each = request->all || json_array_size(listing.sessions) <= SESSIONS_SHOWN_MAX;
        r = each ? print_sessions(listing.sessions) : print_session_counts(listing.sessions);
    }
    return r;
}

static const struct command_option options[] = {
    OPTION_SWITCH("all", 'a', ls_request, all),
    OPTIONS_END,
};

const struct command command_ls = {
    .name = "ls",
    .synopsis = "[--all | --json]",
    .summary = "list templates and sessions",
    .run = run,
    .request_size = sizeof(struct ls_request),
    .options = options,
    .operands_error = "mintfs show describes one template",
    .takes_json = true,
};
