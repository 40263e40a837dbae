/*
 * mintfs build: makes the template if it is not in the store, and prints its key.
 */
#include <stdio.h>

#include "fs/base/interrupt.h"
#include "fs/client/ensure_template.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/spec_options.h"

static int run(const struct arguments *arguments)
{
    const struct spec_request *request = arguments->request;
    AUTO_SPEC struct build_spec *spec = NULL;
    AUTO_STORE struct store *store = NULL;
    struct build_result result = {.builder_status = 0};
    int r = spec_request_read(arguments, &spec);
    if (r == 0)
        r = store_open(&store);
    if (r == 0)
        r = ensure_template(store, spec, request->to, &result);
    /* Ends the process by the signal that interrupted the build, so that a shell notices it. */
    if (r == -EINTR)
        interrupt_raise();
    if (r == -ECHILD)
        return result.builder_status;
    if (r == 0)
        printf("%s\n", result.key);
    return r;
}

static const struct command_option options[] = {SPEC_OPTIONS, SPEC_OPTION_TO, OPTIONS_END};

const struct command command_build = {
    .name = "build",
    .synopsis = "[-i PATH]... [-x GLOB]... [-e VAR]... [--salt S] [--root DIR] [--as TEXT] "
                "[-n NAME] [--file FILE] [--to PATH] [NAME | -- BUILDER...]",
    .summary = "make the template if it is not in the store, print its key",
    .run = run,
    .request_size = sizeof(struct spec_request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .stops_at_operand = true,
    .fails_as_env = true,
};
