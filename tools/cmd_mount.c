/*
 * mintfs mount: serves the store at MNT. Returns when the mount answers, and prints MNT.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/units.h"
#include "fs/client/daemon_run.h"
#include "fs/mount/limits.h"
#include "fs/store/store_open.h"
#include "tools/command.h"

static const struct option options[] = {
    {"scratch", required_argument, NULL, 's'}, {"foreground", no_argument, NULL, 'f'},
    {"options", required_argument, NULL, 'o'}, {"replace", no_argument, NULL, 'r'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

struct mount_request {
    struct daemon_request daemon;
    char *scratch; /* absolute, owned: the daemon works in another directory */
};

static void request_fini(struct mount_request *request)
{
    free(request->scratch);
}

static int set_scratch(struct mount_request *request, const char *typed)
{
    AUTO_FREE char *here = *typed && *typed != '/' ? getcwd(NULL, 0) : NULL;
    free(request->scratch);
    request->scratch = text_format("%s%s%s", here ? here : "", here ? "/" : "", typed);
    request->daemon.serve.scratch = request->scratch;
    return request->scratch ? EXIT_DONE : EXIT_FAILED;
}

/* One of `-o a,b=c`. */
static int read_mount_option(char *text, struct serve_options *serve)
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
            return command_usage("mount", "grace is a number of seconds, not \"%s\"", value);
        serve->grace_seconds = (unsigned)number;
    } else if (!strcmp(text, "idle") && value) {
        if (units_parse_duration(value, &number) < 0 || number > INT32_MAX)
            return command_usage("mount", "idle is a time such as 10m, not \"%s\"", value);
        serve->idle_seconds = (unsigned)number;
    } else if ((!strcmp(text, "session_limit") || !strcmp(text, "limit")) && value) {
        if (units_parse_size(value, &number) < 0 || number == 0)
            return command_usage("mount", "%s is a size such as 64M, not \"%s\"", text, value);
        *(text[0] == 's' ? &serve->session_limit_bytes : &serve->limit_bytes) = number;
        serve->strict = true;
    } else {
        return command_usage("mount",
                             "unknown mount option \"%s\"; there are allow_other, strict, "
                             "no_io_uring, grace=SECONDS, idle=TIME, limit=SIZE, "
                             "session_limit=SIZE",
                             text);
    }
    return EXIT_DONE;
}

static int read_mount_options(char *text, struct serve_options *serve)
{
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        int status = read_mount_option(part, serve);
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_arguments(int argc, char **argv, struct mount_request *request)
{
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":fo:h", options, NULL)) >= 0;) {
        int status = EXIT_DONE;
        switch (option) {
        case 's':
            status = set_scratch(request, optarg);
            break;
        case 'f':
            request->daemon.foreground = true;
            break;
        case 'o':
            status = read_mount_options(optarg, &request->daemon.serve);
            break;
        case 'r':
            request->daemon.replaces = true;
            break;
        case 'h':
            return -1;
        case ':':
            return command_usage(argv[0], "%s wants a value", argv[optind - 1]);
        default:
            return command_bad_option(argv[0], "", argv);
        }
        if (status != EXIT_DONE)
            return status;
    }
    if (argc - optind > 1)
        return command_usage(argv[0], "takes one mount point, not also %s", argv[optind + 1]);
    request->daemon.place = optind < argc ? argv[optind] : NULL;
    return EXIT_DONE;
}

static int print_place(const char *mount_point, void *context UNUSED)
{
    printf("%s\n", mount_point);
    return command_flush() == EXIT_DONE ? 0 : -EIO;
}

int cmd_mount(int argc, char **argv)
{
    CLEANUP(request_fini)
    struct mount_request request = {.daemon.serve.grace_seconds = SERVE_GRACE_SECONDS};
    AUTO_STORE struct store *store = NULL;
    int status = read_arguments(argc, argv, &request);
    if (status != EXIT_DONE)
        return status < 0 ? command_help(argv[0]) : status;
    /* The daemon inherits no descriptor of the caller's. */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    limits_raise_open_files();
    if (getenv("MINTFS_BUILDING")) {
        log_error("a mount that a builder starts would end with it: mount before the build");
        return EXIT_FAILED;
    }
    int r = store_open(&store);
    return command_status(r < 0 ? r : daemon_run(store, &request.daemon, print_place, NULL));
}
