/*
 * mintfs clean: removes everything that mintfs made in this store and around it, after listing it
 * and asking for confirmation.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/clean.h"
#include "fs/client/kept_databases.h"
#include "fs/client/listing.h"
#include "fs/mount/serve.h"
#include "fs/overlay/scratch_registry.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

struct clean_request {
    bool yes;
    bool dry_run;
};

static int list_scratch(const char *path, void *context UNUSED)
{
    char size[UNITS_TEXT_SIZE];
    output_line("scratch at %s: %s", path,
                units_format_size(listing_disk_bytes(AT_FDCWD, path), size));
    return 0;
}

static int list_kept(const struct kept_databases *kept, void *context UNUSED)
{
    char size[UNITS_TEXT_SIZE];
    output_line("databases of failed tests kept in %s: %zu, %s", kept->path, kept->count,
                units_format_size(kept->bytes, size));
    return 0;
}

static int list(const struct store *store)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_LISTING struct template_listing listing = {.templates = NULL};
    char size[UNITS_TEXT_SIZE];
    char templates[UNITS_TEXT_SIZE];
    char sessions[UNITS_TEXT_SIZE];
    int r = template_listing_read(store, &listing);
    if (r == 0)
        r = serve_find(store, &found);
    if (r < 0)
        return r;
    if (r == 1)
        output_line("mount at %s (process %d)", found.mount_point, found.pid);
    output_line("store at %s: %s, %s, %s", store->path,
                units_format_count(json_array_size(listing.templates), "template", templates),
                units_format_count(json_array_size(listing.sessions), "session", sessions),
                units_format_size(listing_disk_bytes(AT_FDCWD, store->path), size));
    for (size_t i = 0; i < json_array_size(listing.sessions); i++) {
        const json_t *row = json_array_get(listing.sessions, i);
        const char *path = json_string_value(json_object_get(row, "path"));
        output_line("session %s%s%s", json_string_value(json_object_get(row, "id")),
                    path ? " at " : " at rest", path ? path : "");
    }
    r = scratch_registry_each(store, list_scratch, NULL);
    return r == 0 ? kept_databases_each(store, list_kept, NULL) : r;
}

static bool is_confirmed(void)
{
    char answer[16] = "";
    (void)fflush(stdout);
    (void)fputs("Remove all of it? [y/N] ", stderr);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int run(const struct arguments *arguments)
{
    const struct clean_request *request = arguments->request;
    AUTO_STORE struct store *store = NULL;
    size_t foreign = 0;
    int r = clean_open(&store);
    if (r > 0)
        r = list(store);
    if (r < 0 || !store || request->dry_run)
        return r;
    if (!request->yes && !isatty(STDIN_FILENO))
        return log_fail(EINVAL, "clean asks before it removes anything: run it in a terminal, or "
                                "add --yes");
    if (!request->yes && !is_confirmed()) {
        log_info("nothing was removed");
        return -ECANCELED;
    }
    (void)fflush(stdout);
    r = clean_all(store, &foreign);
    if (r < 0)
        return r;
    if (foreign)
        return log_fail(ENOTEMPTY, "removed everything except what mintfs did not put there");
    log_info("removed");
    return 0;
}

static const struct command_option options[] = {
    OPTION_SWITCH("yes", 'y', clean_request, yes),
    OPTION_SWITCH("dry-run", 'd', clean_request, dry_run),
    OPTIONS_END,
};

const struct command command_clean = {
    .name = "clean",
    .synopsis = "[-y] [-d]",
    .summary = "remove everything that mintfs made in this store and around it",
    .run = run,
    .request_size = sizeof(struct clean_request),
    .options = options,
    .operands_error = "mintfs evict removes one template",
};
