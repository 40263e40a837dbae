/*
 * mintfs session: lists, resets and removes writable copies of a template, on the store's mount or,
 * where there is none, plain copies; `new` is in cmd_session_new.c.
 *
 * `ls --json`: {"sessions": [{"id", "key", "path", "backend": "fuse"|"copy", "bytes",
 * "open_files"}...]}, the last two null for copies, and the path too for those at rest.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/backend.h"
#include "fs/client/copies.h"
#include "fs/client/offline_sessions.h"
#include "fs/client/sessions.h"
#include "tools/columns.h"
#include "tools/command.h"
#include "tools/output.h"

/* ---- ls ---- */

static json_t *known_number(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

static int print_rows_json(const struct session_table *table)
{
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < table->count; i++) {
        const struct session_row *row = &table->rows[i];
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "id", row->id, "key", row->key,
                            "path", row->path ? json_text(row->path) : json_null(), "backend",
                            backend_name(row->backend), "bytes", known_number(row->bytes),
                            "open_files", known_number(row->open_files)));
    }
    return output_json(json_pack("{s:o}", "sessions", rows));
}

static int print_rows(const struct session_table *sessions)
{
    static const struct column columns[] = {{.title = "ID"},
                                            {.title = "KEY"},
                                            {.title = "BACKEND"},
                                            {.title = "BYTES", .right = true},
                                            {.title = "PATH"}};
    AUTO_TABLE struct columns *table = NULL;
    int r = columns_new(columns, ARRAY_LENGTH(columns), &table);
    for (size_t i = 0; r == 0 && i < sessions->count; i++) {
        const struct session_row *row = &sessions->rows[i];
        char key[SHOWN_KEY + 1];
        char bytes[UNITS_TEXT_SIZE] = "-";
        (void)snprintf(key, sizeof(key), "%.*s", SHOWN_KEY, row->key);
        if (row->bytes >= 0)
            (void)snprintf(bytes, sizeof(bytes), "%" PRId64, row->bytes);
        const char *cells[] = {row->id, key, backend_name(row->backend), bytes,
                               row->path ? row->path : "(at rest: mintfs mount shows it)"};
        r = columns_add(table, cells);
    }
    if (r == 0)
        columns_print(table);
    return r;
}

static int session_ls_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help("session");
        if (option != 'j')
            return command_bad_option("session", "ls", argv);
        as_json = true;
    }
    if (optind < argc)
        return command_usage("session", "ls takes no operand: %s", argv[optind]);
    AUTO_STORE struct store *store = NULL;
    AUTO_SESSIONS struct session_table table = {0};
    int r = store_open_existing(&store);
    if (r > 0)
        r = sessions_read(store, &table);
    if (r == 0 && as_json)
        r = print_rows_json(&table);
    else if (r == 0 && table.count)
        r = print_rows(&table);
    return r < 0 ? command_status(r) : command_flush();
}

/* ---- rm ---- */

static int remove_row(const struct store *store, const struct session_row *row)
{
    if (!row->path)
        return offline_sessions_remove(store, row);
    if (row->backend == BACKEND_COPY) {
        int r = copies_remove(store, row->key, row->id);
        return r == -ENOENT ? log_fail(ENOENT, "the session %s is gone already", row->id) : r;
    }
    return rmdir(row->path) < 0 ? log_errno(errno, "cannot remove the session %s", row->path) : 0;
}

static int for_each_operand(int argc, char **argv, const char *action,
                            int (*apply)(const struct store *store, const struct session_row *row))
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help("session");
        return command_bad_option("session", action, argv);
    }
    if (optind == argc)
        return command_usage("session", "%s wants the ID of a session", action);
    AUTO_STORE struct store *store = NULL;
    AUTO_SESSIONS struct session_table table = {0};
    int r = store_open_existing(&store);
    if (r == 0)
        return EXIT_MISSING;
    if (r > 0)
        r = sessions_read(store, &table);
    if (r < 0)
        return command_status(r);
    /* Each is tried; the first failure is the command's. */
    int first_error = 0;
    for (int i = optind; i < argc; i++) {
        const struct session_row *row;
        r = sessions_find(store, &table, argv[i], &row);
        if (r == 0)
            r = apply(store, row);
        if (first_error == 0)
            first_error = r;
    }
    return command_status(first_error);
}

static int session_rm_command(int argc, char **argv)
{
    return for_each_operand(argc, argv, "rm", remove_row);
}

/* ---- reset ---- */

/* A new session beside that one, called after `id`; `mark` goes behind that. */
static int make_beside(const struct session_row *row, const char *id, const char *mark,
                       char **ret_beside)
{
    char *beside;
    size_t parent = strlen(row->path) - strlen(row->id);
    if (asprintf(&beside, "%.*s%s%s", (int)parent, row->path, id, mark) < 0)
        return -ENOMEM;
    if (mkdir(beside, 0700) < 0) {
        int error = errno;
        free(beside);
        return -error;
    }
    *ret_beside = beside;
    return 0;
}

/*
 * A new session is renamed over the old one, which is one step for whoever looks; its directory
 * gets the old one's mode and owner first. Until then it is this process's, and ends with that,
 * unless the daemon is in another PID namespace.
 */
static int reset_mounted(const struct session_row *row)
{
    struct stat old;
    char id[SESSION_ID_MAX + 1];
    char mark[24];
    AUTO_FREE char *beside = NULL;
    int r = sessions_make_id(NULL, id);
    if (r < 0)
        return r;
    (void)snprintf(mark, sizeof(mark), ".pid-%d", (int)getpid());
    r = stat(row->path, &old) < 0 ? -errno : make_beside(row, id, mark, &beside);
    if (r == -EXDEV || r == -ESRCH)
        r = make_beside(row, id, "", &beside);
    if (r < 0 || !beside)
        return log_errno(r, "cannot reset the session %s", row->path);
    struct stat new;
    if (stat(beside, &new) < 0 ||
        ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
         chown(beside, old.st_uid, old.st_gid) < 0) ||
        (old.st_mode != new.st_mode &&chmod(beside, old.st_mode & 07777) < 0) ||
        rename(beside, row->path) < 0) {
        r = log_errno(errno, "cannot reset the session %s", row->path);
        if (rmdir(beside) < 0)
            log_warning("a session stays behind: %s", beside);
    }
    return r;
}

static int reset_row(const struct store *store, const struct session_row *row)
{
    if (!row->path)
        return log_fail(ENOENT, "the session %s is not mounted: mintfs mount brings it back",
                        row->id);
    if (row->backend == BACKEND_FUSE)
        return reset_mounted(row);
    int r = copies_reset(store, row->key, row->id);
    return r == -ENOENT ? log_fail(ENOENT, "the session %s is gone", row->id) : r;
}

static int session_reset_command(int argc, char **argv)
{
    return for_each_operand(argc, argv, "reset", reset_row);
}

int cmd_session(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } actions[] = {
        {"new", cmd_session_new},
        {"ls", session_ls_command},
        {"reset", session_reset_command},
        {"rm", session_rm_command},
    };
    opterr = 0;
    optind = 0;
    if (argc < 2)
        return command_usage(argv[0], "wants one of new, ls, reset, rm");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return command_help(argv[0]);
    for (size_t i = 0; i < ARRAY_LENGTH(actions); i++)
        if (!strcmp(argv[1], actions[i].name))
            return actions[i].run(argc - 1, argv + 1);
    return command_usage(argv[0], "no action \"%s\": there are new, ls, reset, rm", argv[1]);
}
