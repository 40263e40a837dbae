/*
 * mintfs: every test gets its database in mint condition. See README.md.
 *
 * The subcommands (tools/command.h), and what comes before and after each.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/here.h"
#include "fs/base/log.h"
#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/help.h"
#include "tools/output.h"
#include "tools/status_report.h"

static const struct command *const commands[] = {
    &command_key,
    &command_build,
    &command_mount,
    &command_umount,
    &command_session,
    &command_ls,
    &command_show,
    &command_explain,
    &command_stats,
    &command_name,
    &command_pin,
    &command_unpin,
    &command_gc,
    &command_evict,
    &command_verify,
    &command_clean,
    &command_config,
    &command_doctor,
    NULL,
};

static const struct command *find_command(const struct command *const *list, const char *name)
{
    while (*list && strcmp((*list)->name, name) != 0)
        list++;
    return *list;
}

static int exit_status(const struct command *command, int error)
{
    if (command && command->fails_as_env)
        return EXIT_MINTFS_FAILED;
    switch (-error) {
    case ENOENT:
    case ESRCH:
        return EXIT_MISSING;
    case EINVAL:
    case ENOTUNIQ:
        return EXIT_USAGE;
    case EBUSY:
    case EWOULDBLOCK:
    case EEXIST:
        return EXIT_BUSY;
    case EBADMSG:
    case EPROTONOSUPPORT:
        return EXIT_CORRUPT;
    default:
        return EXIT_FAILED;
    }
}

static int print_help(const struct command *command)
{
    if (command)
        help_print_command(command);
    else
        help_print(commands, stdout);
    return output_flush() < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* ---- running a command ---- */

/* "new, ls, reset, rm" */
static const char *join_names(const struct command *const *list, char *text, size_t size)
{
    size_t used = 0;
    for (text[0] = '\0'; *list && used < size; list++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", (*list)->name);
    return text;
}

/* Returns the exit status. The request is not freed before the process ends. */
static int run_command(const struct command *command, const struct command *group, int argc,
                       char **argv)
{
    static void *request;
    request = calloc(1, command->request_size + 1);
    struct arguments arguments = {.command = command, .group = group, .request = request};
    int r = request ? arguments_read(argc, argv, &arguments) : -ENOMEM;
    if (r > 0)
        return print_help(group ? group : command);
    if (r == 0)
        r = command->run(&arguments);
    int flushed = r >= 0 ? output_flush() : 0;
    if (r == 0)
        r = flushed;
    return r < 0 ? exit_status(command, r) : r;
}

static int run_action(const struct command *group, int argc, char **argv)
{
    const struct arguments arguments = {.command = group};
    char names[64];
    (void)join_names(group->actions, names, sizeof(names));
    if (argc < 2)
        return exit_status(group, usage_error(&arguments, "wants one of %s", names));
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print_help(group);
    const struct command *action = find_command(group->actions, argv[1]);
    if (!action)
        return exit_status(
            group, usage_error(&arguments, "no action \"%s\": there are %s", argv[1], names));
    return run_command(action, group, argc - 1, argv + 1);
}

/* ---- before the command ---- */

/*
 * Opens those of the descriptors 0, 1 and 2 that are closed, so that daemons and builders do not
 * inherit a file of ours under these numbers. They are opened for the wrong direction: reading or
 * writing still fails, so that lost results are noticed.
 */
static void fill_standard_descriptors(void)
{
    static const int flags[] = {O_WRONLY, O_RDONLY, O_RDWR};
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        if (fcntl(i, F_GETFD) < 0)
            (void)open("/dev/null", flags[i]);
}

/*
 * Applies the options before the command: -C DIR, -CDIR, --directory DIR, --directory=DIR. Each is
 * relative to the one before it, as with make. *ret_words is the number of words. Errors are
 * logged.
 */
static int enter_directories(int argc, char **argv, int *ret_words)
{
    static const char long_option[] = "--directory";
    int word = 1;
    while (word < argc) {
        const char *argument = argv[word];
        const char *directory = NULL;
        if (!strncmp(argument, "-C", 2))
            directory = argument[2] ? argument + 2 : argv[++word];
        else if (!strcmp(argument, long_option))
            directory = argv[++word];
        else if (!strncmp(argument, "--directory=", sizeof(long_option)))
            directory = argument + sizeof(long_option);
        else
            break;
        if (!directory)
            return log_fail(EINVAL, "%s: the directory is missing", argument);
        int r = here_enter(directory);
        if (r < 0)
            return log_errno(r, "-C %s: cannot change to this directory", directory);
        word++;
    }
    *ret_words = word - 1;
    return 0;
}

/* Finds the command, for the exit status, if its directory could not be entered. */
static const struct command *find_command_word(int argc, char **argv)
{
    const struct command *command = NULL;
    for (int i = 1; !command && i < argc; i++)
        command = find_command(commands, argv[i]);
    return command;
}

/* Makes files usable for their owner, even in a test whose umask masks the owner's bits. */
static void keep_owner_bits(void)
{
    mode_t inherited = umask(S_IRWXG | S_IRWXO);
    (void)umask(inherited & (S_IRWXG | S_IRWXO));
}

static int run(int argc, char **argv)
{
    int words = 0;
    int r = enter_directories(argc, argv, &words);
    if (r < 0)
        return exit_status(find_command_word(argc, argv), r);
    argc -= words;
    argv += words;
    if (argc < 2) {
        help_print(commands, stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("mintfs %s\n", MINTFS_VERSION);
        return output_flush() < 0 ? EXIT_FAILED : EXIT_DONE;
    }
    bool wants_help = !strcmp(argv[1], "help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || (wants_help && argc == 2))
        return print_help(NULL);
    const char *name = argv[wants_help ? 2 : 1];
    const struct command *command = find_command(commands, name);
    if (!command) {
        log_error("no command \"%s\"; mintfs help lists them", name);
        return EXIT_USAGE;
    }
    if (wants_help)
        return print_help(command);
    return command->actions ? run_action(command, argc - 1, argv + 1)
                            : run_command(command, NULL, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    keep_owner_bits();
    /* If SIGCHLD were ignored, as the parent may have left it, waitpid(2) would report no status.
     */
    (void)signal(SIGCHLD, SIG_DFL);
    /* A limit on file sizes then makes write(2) fail, and the error is logged. */
    (void)signal(SIGXFSZ, SIG_IGN);
    int report_fd = status_report_take();
    int status = run(argc, argv);
    status_report(report_fd, status);
    return status;
}
