/*
 * mintfs mount: serves the store at MNT. Returns when the mount answers, and prints MNT.
 */
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/base/text.h"
#include "fs/base/units.h"
#include "fs/client/daemon_run.h"
#include "fs/mount/limits.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

struct mount_request {
    const char *scratch;
    struct strlist options;
    bool foreground;
    bool replace;
};

/* One of `-o a,b=c`. */
static int read_mount_option(const struct arguments *arguments, char *text,
                             struct serve_options *serve)
{
    char *value = strchr(text, '=');
    if (value)
        *value++ = '\0';
    uint64_t number = 0;
    if (!strcmp(text, "allow_other") && !value) {
        serve->allow_other = true;
    } else if (!strcmp(text, "strict") && !value) {
        serve->strict = true;
    } else if (!strcmp(text, "no_io_uring") && !value) {
        serve->no_uring = true;
    } else if (!strcmp(text, "grace") && value) {
        if (units_parse_number(value, &number) < 0 || number > 86400)
            return usage_error(arguments, "grace is a number of seconds, not \"%s\"", value);
        serve->grace_seconds = (unsigned)number;
    } else if (!strcmp(text, "idle") && value) {
        if (units_parse_duration(value, &number) < 0 || number > INT32_MAX)
            return usage_error(arguments, "idle is a time such as 10m, not \"%s\"", value);
        serve->idle_seconds = (unsigned)number;
    } else if ((!strcmp(text, "session_limit") || !strcmp(text, "limit")) && value) {
        if (units_parse_size(value, &number) < 0 || number == 0)
            return usage_error(arguments, "%s is a size such as 64M, not \"%s\"", text, value);
        *(text[0] == 's' ? &serve->session_limit_bytes : &serve->limit_bytes) = number;
        serve->strict = true;
    } else {
        return usage_error(arguments,
                           "unknown mount option \"%s\"; the options are allow_other, strict, "
                           "no_io_uring, grace=SECONDS, idle=TIME, limit=SIZE, "
                           "session_limit=SIZE",
                           text);
    }
    return 0;
}

static int read_mount_options(const struct arguments *arguments, char *text,
                              struct serve_options *serve)
{
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        int r = read_mount_option(arguments, part, serve);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_value(const char *value, void *list)
{
    return strlist_add(list, value);
}

/* The daemon works in another directory. */
static int make_absolute(const char *path, char **ret_path)
{
    AUTO_FREE char *here = *path && *path != '/' ? getcwd(NULL, 0) : NULL;
    *ret_path = text_format("%s%s%s", here ? here : "", here ? "/" : "", path);
    return *ret_path ? 0 : -ENOMEM;
}

static int print_place(const char *mount_point, void *context UNUSED)
{
    printf("%s\n", mount_point);
    return output_flush();
}

static int run(const struct arguments *arguments)
{
    struct mount_request *request = arguments->request;
    struct daemon_request daemon = {.place = arguments->operands[0],
                                    .serve.grace_seconds = SERVE_GRACE_SECONDS,
                                    .replaces = request->replace,
                                    .foreground = request->foreground};
    AUTO_FREE char *scratch = NULL;
    AUTO_STORE struct store *store = NULL;
    int r = 0;
    for (size_t i = 0; r == 0 && i < request->options.count; i++)
        r = read_mount_options(arguments, request->options.items[i], &daemon.serve);
    strlist_fini(&request->options);
    if (r == 0 && request->scratch)
        r = make_absolute(request->scratch, &scratch);
    if (r < 0)
        return r;
    daemon.serve.scratch = scratch;
    /* The daemon inherits no descriptor of the caller's. */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    limits_raise_open_files();
    if (getenv("MINTFS_BUILDING"))
        return log_fail(EIO,
                        "a mount that a builder starts would end with it: mount before the build");
    r = store_open(&store);
    return r < 0 ? r : daemon_run(store, &daemon, print_place, NULL);
}

static const struct command_option options[] = {
    OPTION_TEXT("scratch", 0, "a directory", mount_request, scratch),
    OPTION_SWITCH("foreground", 'f', mount_request, foreground),
    OPTION_PARSED("options", 'o', "mount options", add_value, mount_request, options),
    OPTION_SWITCH("replace", 0, mount_request, replace),
    OPTIONS_END,
};

const struct command command_mount = {
    .name = "mount",
    .synopsis = "[MNT] [--scratch DIR] [-f] [--replace] [-o OPTS]",
    .summary = "serve the store at MNT; returns when it is ready, prints MNT",
    .run = run,
    .request_size = sizeof(struct mount_request),
    .options = options,
    .operands_max = 1,
    .operands_error = "takes one mount point",
};
