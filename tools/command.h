/*
 * A subcommand of `mintfs`: its name, its options and operands, and the function that runs it.
 *
 * Each has a file, tools/cmd_NAME.c, which makes one call into fs/client or fs/store and prints.
 * Only results are written to stdout.
 */
#ifndef MINTFS_TOOLS_COMMAND_H
#define MINTFS_TOOLS_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MISSING = 3, /* no such thing */
    EXIT_BUSY = 4,
    EXIT_CORRUPT = 5,
    /* `key` and `build` failed by themselves, as with env(1): builders do not use this code. */
    EXIT_MINTFS_FAILED = 125,
};

/* One option, and the field of the command's request where its value is stored. */
struct command_option {
    const char *name;  /* --NAME */
    char letter;       /* -L, or 0 */
    const char *wants; /* its value in messages, as "a size"; NULL: a switch without a value */
    /* Stores the value; -EINVAL if it is not valid, or -ENOMEM. NULL: the text is stored. */
    int (*parse)(const char *value, void *field);
    size_t offset;
};

/*
 * Rows of a table of options, which ends with OPTIONS_END. The field is a bool, a const char *, or
 * of the type that the parser stores.
 */
/* clang-format off */
#define OPTION_FIELD(type, field, kind)                                                            \
    _Generic(((struct type *)0)->field, kind: /* NOLINT(bugprone-macro-parentheses) */             \
             offsetof(struct type, field))
/* clang-format on */
#define OPTIONS_END                                                                                \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define OPTION_SWITCH(name, letter, type, field)                                                   \
    {                                                                                              \
        name, letter, NULL, NULL, OPTION_FIELD(type, field, bool)                                  \
    }
#define OPTION_TEXT(name, letter, wants, type, field)                                              \
    {                                                                                              \
        name, letter, wants, NULL, OPTION_FIELD(type, field, const char *)                         \
    }
#define OPTION_PARSED(name, letter, wants, parse, type, field)                                     \
    {                                                                                              \
        name, letter, wants, parse, offsetof(struct type, field)                                   \
    }

struct command;

/* A command line, read by the command's table of options. */
struct arguments {
    const struct command *command;
    const struct command *group; /* of which the command is an action, or NULL */
    void *request;               /* of the command's own type, zeroed and filled by its options */
    char **operands;             /* NULL after the last */
    unsigned operand_count;
    bool as_json;    /* --json */
    bool has_dashes; /* "--" is before the operands */
};

#define OPERANDS_ANY UINT_MAX

struct command {
    const char *name;
    const char *synopsis; /* arguments, for help and usage errors */
    const char *summary;  /* one line */
    /* 0, a negative errno whose message was logged, or an exit status of its own. */
    int (*run)(const struct arguments *arguments);
    size_t request_size;
    const struct command_option *options; /* NULL: none but --help and --json */
    unsigned operands_min;
    unsigned operands_max;
    const char *operands_error; /* "wants ..." or "takes ..."; with no operands, a hint or NULL */
    bool takes_json;            /* --json */
    bool stops_at_operand;      /* the first operand ends the options */
    bool fails_as_env;          /* its own failures exit with EXIT_MINTFS_FAILED */
    const struct command *const *actions; /* `mintfs NAME ACTION`, NULL after the last; or NULL */
};

extern const struct command command_build, command_clean, command_config, command_doctor,
    command_evict, command_explain, command_gc, command_key, command_ls, command_mount,
    command_name, command_pin, command_session, command_session_new, command_show, command_stats,
    command_umount, command_unpin, command_verify;

/* Logs an error in the command line, and the synopsis; returns -EINVAL. */
int usage_error(const struct arguments *arguments, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
