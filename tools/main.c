/*
 * mintfs: every test gets its database in mint condition. See README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/here.h"
#include "fs/base/log.h"
#include "fs/base/wrap.h"
#include "tools/command.h"
#include "tools/help_text.h"
#include "tools/output.h"
#include "tools/status_report.h"

static const struct command commands[] = {
    {"key", cmd_key,
     "[-i PATH]... [-x GLOB]... [-e VAR]... [--salt S] [--root DIR] [--as TEXT] [--file FILE] "
     "[NAME | -- BUILDER...]",
     "print the schema hash of inputs, builder and declared environment"},
    {"build", cmd_build,
     "[-i PATH]... [-x GLOB]... [-e VAR]... [--salt S] [--root DIR] [--as TEXT] [-n NAME] "
     "[--file FILE] [--to PATH] [NAME | -- BUILDER...]",
     "make the template if it is not in the store, print its key"},
    {"mount", cmd_mount, "[MNT] [--scratch DIR] [-f] [--replace] [-o OPTS]",
     "serve the store at MNT; returns when it is ready, prints MNT"},
    {"umount", cmd_umount, "[MNT]", "take the mount away"},
    {"session", cmd_session,
     "new [KEY|NAME] [ID] [--ttl T] [--owner PID] [--url | --json] | ls [--json] | reset ID... | "
     "rm ID...",
     "make, list, renew and remove writable copies of a template"},
    {"ls", cmd_ls, "[--all | --json]", "list templates and sessions"},
    {"show", cmd_show, "[--json] KEY|NAME", "tell everything about a template"},
    {"explain", cmd_explain, "[--json] (the arguments of build)",
     "say whether a build would be a hit, and if not, why"},
    {"stats", cmd_stats, "[--json]", "tell what the cache was good for, by day and in all"},
    {"name", cmd_name, "[--json] | NAME KEY|NAME | -d NAME...",
     "list, set and take away the names of templates"},
    {"pin", cmd_pin, "KEY|NAME...", "keep templates from gc and evict"},
    {"unpin", cmd_unpin, "KEY|NAME...", "let pinned templates go again"},
    {"gc", cmd_gc, "[--max-size SIZE] [--max-age TIME] [--keep N] [-n NAME] [-d] [--json]",
     "evict templates not used lately until the store is within its limits"},
    {"evict", cmd_evict, "KEY|NAME...", "take templates out of the store"},
    {"verify", cmd_verify, "[-a] [--repair] [--json] [KEY|NAME...] | --rebuild KEY|NAME [--json]",
     "compare templates with their manifests, the catalog with the store"},
    {"clean", cmd_clean, "[-y] [-d]",
     "remove everything that mintfs made in this store and around it"},
    {"config", cmd_config, "[SETTING | --json]", "show each setting and where it comes from"},
    {"doctor", cmd_doctor, "[--fix] [--json]",
     "say what works here, and what to type where it does not"},
};

static int print_version(void)
{
    printf("mintfs %s\n", MINTFS_VERSION);
    return command_flush();
}

static int print_help(FILE *stream)
{
    enum { INDENT = 12 };
    unsigned width = stream == stdout ? output_columns() : wrap_columns(STDERR_FILENO);
    wrap_print(stream, "usage: mintfs [-C DIR] COMMAND [OPTION]... [ARGUMENT]...", 0, INDENT,
               width);
    fputs("\n\n", stream);
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        fprintf(stream, "  %-9s ", commands[i].name);
        wrap_print(stream, commands[i].summary, INDENT, INDENT, width);
        fputc('\n', stream);
    }
    fputc('\n', stream);
    wrap_print(
        stream,
        "-C DIR (--directory DIR) changes to DIR first. mintfs help COMMAND tells more of one "
        "command; mintfs --version says which version this is.",
        0, 0, width);
    fputc('\n', stream);
    return stream == stdout ? command_flush() : EXIT_USAGE;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

int command_usage(const char *command, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    log_error("%s: %s", command, text ? text : "wrong arguments");
    const struct command *row = command_find(command);
    if (row)
        log_info("usage: mintfs %s %s", row->name, row->synopsis);
    return EXIT_USAGE;
}

int command_bad_option(const char *command, const char *action, char **argv)
{
    const char *colon = *action ? ": " : "";
    /* An unknown long option alone leaves no letter; within a cluster, argv is still before it. */
    if (!optopt)
        return command_usage(command, "%s%sunknown option %s", action, colon, argv[optind - 1]);
    if (!strncmp(argv[optind - 1], "--", 2) && strchr(argv[optind - 1], '='))
        return command_usage(command, "%s%s%.*s takes no value", action, colon,
                             (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
    return command_usage(command, "%s%sunknown option -%c", action, colon, optopt);
}

int command_help(const char *command)
{
    enum { INDENT = 7 };
    const struct command *row = command_find(command);
    if (!row) {
        log_error("no command \"%s\"; mintfs help lists them", command);
        return EXIT_USAGE;
    }
    AUTO_FREE char *usage = NULL;
    if (asprintf(&usage, "usage: mintfs %s %s", row->name, row->synopsis) < 0) {
        usage = NULL;
        return EXIT_FAILED;
    }
    output_wrapped(usage, INDENT);
    putchar('\n');
    output_wrapped(row->summary, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(help_texts); i++)
        if (!strcmp(help_texts[i].command, row->name)) {
            putchar('\n');
            output_paragraphs(help_texts[i].text);
        }
    return command_flush();
}

int command_status(int error)
{
    switch (-error) {
    case 0:
        return EXIT_DONE;
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

int command_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    log_errno(errno, "cannot write to standard output");
    return EXIT_FAILED;
}

/*
 * A daemon and builders inherit 0, 1 and 2: they must not be some file of ours. What was closed
 * cannot be read from or written to all the same, so that lost results are noticed.
 */
static void fill_standard_descriptors(void)
{
    static const int flags[] = {O_WRONLY, O_RDONLY, O_RDWR};
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        if (fcntl(i, F_GETFD) < 0)
            (void)open("/dev/null", flags[i]);
}

/*
 * Takes the options before the command off: -C DIR, -CDIR, --directory DIR, --directory=DIR;
 * several add up, as with make. A failure is logged.
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

/* The command of a command line whose directories could not be entered: key and build end as
 * env(1). */
static int status_of_bad_directory(int argc, char **argv, int error)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "key") || !strcmp(argv[i], "build"))
            return EXIT_MINTFS_FAILED;
        else if (command_find(argv[i]))
            break;
    return command_status(error);
}

/* A test may run with a umask that denies it its own files. What mintfs makes stays usable. */
static void keep_owner_bits(void)
{
    mode_t asked = umask(S_IRWXG | S_IRWXO);
    (void)umask(asked & (S_IRWXG | S_IRWXO));
}

static int run(int argc, char **argv)
{
    int words = 0;
    int r = enter_directories(argc, argv, &words);
    if (r < 0)
        return status_of_bad_directory(argc, argv, r);
    argc -= words;
    argv += words;
    if (argc < 2)
        return print_help(stderr);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return print_version();
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print_help(stdout);
    if (!strcmp(argv[1], "help"))
        return argc > 2 ? command_help(argv[2]) : print_help(stdout);
    const struct command *command = command_find(argv[1]);
    if (!command) {
        log_error("no command \"%s\"; mintfs help lists them", argv[1]);
        return EXIT_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    keep_owner_bits();
    /* Where the parent ignores it, a child's status is lost before waitpid(2) asks for it. */
    (void)signal(SIGCHLD, SIG_DFL);
    /* A limit on file sizes is an error of write(2), with a message. */
    (void)signal(SIGXFSZ, SIG_IGN);
    int report_fd = status_report_take();
    int status = run(argc, argv);
    status_report(report_fd, status);
    return status;
}
