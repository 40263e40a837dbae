/*
 * The options that describe a template, the same for every command that takes them.
 */
#ifndef MINTFS_TOOLS_SPEC_OPTIONS_H
#define MINTFS_TOOLS_SPEC_OPTIONS_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/build_spec.h"
#include "tools/command.h"

struct spec_request {
    struct strlist inputs;
    struct strlist excludes;
    struct strlist env;
    const char *name;
    const char *salt;
    const char *root;
    const char *as;
    const char *file;
    const char *to;
};

/* A parser of command_option: appends the value to a struct strlist. */
int spec_add_value(const char *value, void *list);

/* Rows of the command's table of options. */
#define SPEC_OPTIONS                                                                               \
    OPTION_PARSED("input", 'i', "a path", spec_add_value, spec_request, inputs),                   \
        OPTION_PARSED("exclude", 'x', "a pattern", spec_add_value, spec_request, excludes),        \
        OPTION_PARSED("env", 'e', "the name of a variable", spec_add_value, spec_request, env),    \
        OPTION_TEXT("name", 'n', "a name", spec_request, name),                                    \
        OPTION_TEXT("salt", 0, "a text", spec_request, salt),                                      \
        OPTION_TEXT("root", 0, "a directory", spec_request, root),                                 \
        OPTION_TEXT("as", 0, "a text", spec_request, as),                                          \
        OPTION_TEXT("file", 0, "a file name", spec_request, file)
#define SPEC_OPTION_TO OPTION_TEXT("to", 0, "a path", spec_request, to)

/*
 * Makes the spec from `[options] -- BUILDER...`, or from `[options] [NAME]` and mintfs.conf:
 * options then add inputs, excludes and variables to the section of the file, and replace the rest.
 * The spec has a root and a builder. Frees the request's lists. Errors are logged.
 */
MUST_CHECK int spec_request_read(const struct arguments *arguments, struct build_spec **ret_spec);

#endif
