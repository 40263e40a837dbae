/*
 * The options that say what a template is made from, the same for every command that takes them.
 */
#ifndef MINTFS_TOOLS_SPEC_OPTIONS_H
#define MINTFS_TOOLS_SPEC_OPTIONS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/spec.h"

struct spec_request {
    struct build_spec *spec; /* root settled, builder known */
    const char *to;          /* --to, or NULL; points into argv */
    bool wants_help;         /* --help: nothing else is filled in */
};

/*
 * Reads `[options] -- BUILDER...`, or `[options] [NAME]` with mintfs.conf: what stands there comes
 * first, flags add inputs, excludes and variables, and replace the rest. argv[0] is the command's
 * name; `takes_to`: it has --to. Errors are said; -EINVAL with the command's synopsis.
 */
MUST_CHECK int spec_request_read(int argc, char **argv, bool takes_to,
                                 struct spec_request *ret_request);
void spec_request_fini(struct spec_request *request);
#define AUTO_REQUEST CLEANUP(spec_request_fini)

#endif
