/*
 * The options that say what a template is made from, the same for every command that takes them.
 */
#ifndef MINTFS_TOOLS_SPEC_OPTIONS_H
#define MINTFS_TOOLS_SPEC_OPTIONS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"

struct spec_request {
    struct build_spec *spec; /* root settled, builder known */
    const char *to;          /* --to, or NULL; points into argv */
    bool wants_help;         /* --help: nothing else is filled in */
    bool as_json;            /* --json */
};

/*
 * Reads `[options] -- BUILDER...`, or `[options] [NAME]` with mintfs.conf: what stands there comes
 * first, flags add inputs, excludes and variables, and replace the rest. argv[0] is the command's
 * name; `takes`: which of --to and --json it has. Errors are said; -EINVAL with the command's synopsis.
 */
enum spec_takes { SPEC_TAKES_TO = 1, SPEC_TAKES_JSON = 2 };
MUST_CHECK int spec_request_read(int argc, char **argv, unsigned takes,
                                 struct spec_request *ret_request);
void spec_request_fini(struct spec_request *request);
#define AUTO_REQUEST CLEANUP(spec_request_fini)

#endif
