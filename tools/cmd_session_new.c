/*
 * mintfs session new: creates a session. Prints its path, or the URL of its database.
 *
 * `--json`: {"path", "key", "id", "backend", "why"}; with --owner-lock also "owner_lock", the
 * file that the owner of a copy must lock (fs/client/copy_lease.h).
 */
#include <ctype.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/text.h"
#include "fs/base/units.h"
#include "fs/client/session_create.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

/*
 * SQLAlchemy takes everything up to "?" as the path, without decoding it. A path with "?" is
 * written as a file: URI, percent-encoded (https://www.sqlite.org/uri.html).
 */
static void print_url(const char *directory, const char *file)
{
    if (!strchr(directory, '?') && !strchr(file, '?')) {
        printf("sqlite:///%s/%s\n", directory, file);
        return;
    }
    AUTO_FREE char *path = text_format("%s/%s", directory, file);
    if (!path)
        return;
    fputs("sqlite:///file:", stdout);
    for (const char *c = path; *c; c++)
        if (isalnum((unsigned char)*c) || strchr("/._-~", *c))
            putchar(*c);
        else
            printf("%%%02X", (unsigned char)*c);
    puts("?uri=true");
}

static int print_created(const struct arguments *arguments, const struct created_session *created)
{
    if (arguments->as_json)
        return output_json(json_pack("{s:o, s:s, s:s, s:s, s:s, s:o*}", "path",
                                     json_text(created->path), "key", created->key, "id",
                                     created->id, "backend", backend_name(created->choice.backend),
                                     "why", created->choice.why, "owner_lock",
                                     created->owner_lock ? json_text(created->owner_lock) : NULL));
    if (created->database)
        print_url(created->path, created->database);
    else
        puts(created->path);
    return 0;
}

static int parse_ttl(const char *value, void *ret_seconds)
{
    uint64_t *seconds = ret_seconds;
    int r = units_parse_duration(value, seconds);
    return r < 0 || *seconds == 0 || *seconds > INT32_MAX ? -EINVAL : 0;
}

static int parse_pid(const char *value, void *ret_pid)
{
    uint64_t *pid = ret_pid;
    int r = units_parse_number(value, pid);
    return r < 0 || *pid == 0 || *pid > INT32_MAX ? -EINVAL : 0;
}

static int parse_lock_name(const char *value, void *ret_name)
{
    *(const char **)ret_name = value;
    return session_id_is_valid(value) ? 0 : -EINVAL;
}

static int run(const struct arguments *arguments)
{
    struct session_request *request = arguments->request;
    if (request->owner_lock && !request->owner_pid)
        return usage_error(arguments, "--owner-lock has no effect without --owner");
    if (arguments->operand_count > 0)
        request->template = arguments->operands[0];
    if (arguments->operand_count > 1)
        request->id = arguments->operands[1];
    AUTO_STORE struct store *store = NULL;
    CLEANUP(created_session_fini) struct created_session created = {.path = NULL};
    int r = store_open(&store);
    if (r == 0)
        r = session_create(store, request, &created);
    if (r < 0)
        return r;
    (void)signal(SIGPIPE, SIG_IGN);
    r = print_created(arguments, &created);
    if (r == 0)
        r = output_flush();
    if (r < 0)
        session_create_undo(store, &created);
    return r;
}

static const struct command_option options[] = {
    OPTION_PARSED("ttl", 0, "a time such as 90s, 15m or 24h", parse_ttl, session_request,
                  ttl_seconds),
    OPTION_PARSED("owner", 0, "a process ID", parse_pid, session_request, owner_pid),
    OPTION_PARSED("owner-lock", 0, "a name of at most 128 of [A-Za-z0-9._-]", parse_lock_name,
                  session_request, owner_lock),
    OPTION_SWITCH("url", 0, session_request, needs_database),
    OPTIONS_END,
};

const struct command command_session_new = {
    .name = "new",
    .run = run,
    .request_size = sizeof(struct session_request),
    .options = options,
    .operands_max = 2,
    .operands_error = "takes KEY or NAME and an ID",
    .takes_json = true,
};
