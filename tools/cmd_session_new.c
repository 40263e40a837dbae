/*
 * mintfs session new: a session on the store's mount or, where there is none, a plain copy; with its
 * lease. Prints its path, or the URL of its database.
 *
 * `--json`: {"path", "key", "id", "backend", "why"}, and with --owner-lock "owner_lock" for a copy
 * whose owner is to hold a lock (fs/client/copy_lease.h).
 */
#include <ctype.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/units.h"
#include "fs/client/session_create.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

struct new_request {
    struct session_request session;
    bool as_json;
};

/*
 * SQLAlchemy takes everything up to "?" as the path, as it is; a path that has one goes as a
 * file: URI, percent-encoded (https://www.sqlite.org/uri.html).
 */
static void print_url(const char *directory, const char *file)
{
    if (!strchr(directory, '?') && !strchr(file, '?')) {
        printf("sqlite:///%s/%s\n", directory, file);
        return;
    }
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, file) < 0) {
        path = NULL;
        return;
    }
    fputs("sqlite:///file:", stdout);
    for (const char *c = path; *c; c++)
        if (isalnum((unsigned char)*c) || strchr("/._-~", *c))
            putchar(*c);
        else
            printf("%%%02X", (unsigned char)*c);
    puts("?uri=true");
}

static int print_created(const struct new_request *request, const struct created_session *created)
{
    if (request->as_json)
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

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_new_options(int argc, char **argv, struct new_request *request)
{
    static const struct option options[] = {{"url", no_argument, NULL, 'u'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"ttl", required_argument, NULL, 't'},
                                            {"owner", required_argument, NULL, 'p'},
                                            {"owner-lock", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
        switch (option) {
        case 'u':
            request->session.needs_database = true;
            break;
        case 'j':
            request->as_json = true;
            break;
        case 't':
            if (units_parse_duration(optarg, &request->session.ttl_seconds) < 0 ||
                request->session.ttl_seconds == 0 || request->session.ttl_seconds > INT32_MAX)
                return command_usage("session",
                                     "--ttl wants a time such as 90s, 15m or 24h, "
                                     "not \"%s\"",
                                     optarg);
            break;
        case 'p':
            if (units_parse_number(optarg, &request->session.owner_pid) < 0 ||
                request->session.owner_pid == 0 || request->session.owner_pid > INT32_MAX)
                return command_usage("session", "--owner wants a process ID, not \"%s\"", optarg);
            break;
        case 'l':
            if (!session_id_is_valid(optarg))
                return command_usage("session",
                                     "--owner-lock wants a name of at most %d of [A-Za-z0-9._-], "
                                     "not \"%.200s\"",
                                     SESSION_ID_MAX, optarg);
            request->session.owner_lock = optarg;
            break;
        case 'h':
            return -1;
        case ':':
            return command_usage("session", "new: %s wants a value", argv[optind - 1]);
        default:
            return command_bad_option("session", "new", argv);
        }
    }
    if (request->session.owner_lock && !request->session.owner_pid)
        return command_usage("session", "--owner-lock has no effect without --owner");
    return EXIT_DONE;
}

int cmd_session_new(int argc, char **argv)
{
    struct new_request request = {0};
    int status = read_new_options(argc, argv, &request);
    if (status != EXIT_DONE)
        return status < 0 ? command_help("session") : status;
    if (argc - optind > 2)
        return command_usage("session", "new takes KEY or NAME and an ID, not also %s",
                             argv[optind + 2]);
    request.session.template = optind < argc ? argv[optind] : NULL;
    request.session.id = optind + 1 < argc ? argv[optind + 1] : NULL;
    AUTO_STORE struct store *store = NULL;
    CLEANUP(created_session_fini) struct created_session created = {.path = NULL};
    int r = store_open(&store);
    if (r == 0)
        r = session_create(store, &request.session, &created);
    if (r < 0)
        return command_status(r);
    (void)signal(SIGPIPE, SIG_IGN);
    r = print_created(&request, &created);
    status = r < 0 ? command_status(r) : command_flush();
    if (status != EXIT_DONE)
        session_create_undo(store, &created);
    return status;
}
