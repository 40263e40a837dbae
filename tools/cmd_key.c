/*
 * mintfs key: prints the schema hash. It needs no store, so that CI can run it before restoring
 * one.
 */
#include <stdio.h>

#include "fs/store/key.h"
#include "tools/command.h"
#include "tools/spec_options.h"

static int run(const struct arguments *arguments)
{
    AUTO_SPEC struct build_spec *spec = NULL;
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    int r = spec_request_read(arguments, &spec);
    if (r == 0)
        r = key_compute(spec, &key);
    if (r == 0)
        printf("%s\n", key.hex);
    return r;
}

static const struct command_option options[] = {SPEC_OPTIONS, OPTIONS_END};

const struct command command_key = {
    .name = "key",
    .synopsis = "[-i PATH]... [-x GLOB]... [-e VAR]... [--salt S] [--root DIR] [--as TEXT] "
                "[--file FILE] [NAME | -- BUILDER...]",
    .summary = "print the schema hash of inputs, builder and declared environment",
    .run = run,
    .request_size = sizeof(struct spec_request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .stops_at_operand = true,
    .fails_as_env = true,
};
