/*
 * What the subcommands of `mintfs` share: their table, exit statuses, and common manners.
 *
 * One file a subcommand, tools/cmd_NAME.c, each with one function: argv[0] is the subcommand's
 * name, and the answer is the process's exit status. Results alone go to stdout.
 */
#ifndef MINTFS_TOOLS_COMMAND_H
#define MINTFS_TOOLS_COMMAND_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MISSING = 3, /* no such thing */
    EXIT_BUSY = 4,
    EXIT_CORRUPT = 5,
    /* `key` and `build` alone, as env(1): their own failures keep clear of the builder's codes. */
    EXIT_MINTFS_FAILED = 125,
    EXIT_CANNOT_RUN = 126,
    EXIT_NOT_FOUND = 127,
};

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *synopsis; /* arguments, for help and usage errors */
    const char *summary;  /* one line */
};

int cmd_build(int argc, char **argv);
int cmd_clean(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_evict(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_name(int argc, char **argv);
int cmd_pin(int argc, char **argv);
int cmd_unpin(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_session_new(int argc, char **argv); /* argv[0] is "new" */
int cmd_umount(int argc, char **argv);

/* The row of that name, or NULL. */
const struct command *command_find(const char *name);

/* Logs what is wrong and the command's synopsis; returns EXIT_USAGE. */
int command_usage(const char *command, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * command_usage() for the option at which getopt_long(3) has just answered '?': one that is not
 * known, or that takes no value. `action` is a second word of the command's, or "".
 */
int command_bad_option(const char *command, const char *action, char **argv);

/* Prints synopsis and summary on stdout; returns EXIT_DONE. */
int command_help(const char *command);

/* The exit status for a negative errno whose message was already given. */
int command_status(int error);

/*
 * After the last write to stdout: EXIT_DONE, or EXIT_FAILED with a message when the results could
 * not be written (a full disk behind a redirection).
 */
int command_flush(void);

#endif
