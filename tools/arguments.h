/*
 * Reads a command line by the command's table.
 */
#ifndef MINTFS_TOOLS_ARGUMENTS_H
#define MINTFS_TOOLS_ARGUMENTS_H

#include "tools/command.h"

/*
 * Reads the options into the request, and fills in the rest of `arguments`; the caller has set the
 * command, its group and the request. argv[0] is the command's name; long options may be
 * abbreviated. Returns 0; 1 if --help was given; -EINVAL (logged) for unknown options, bad values,
 * and too many or too few operands; -ENOMEM.
 */
MUST_CHECK int arguments_read(int argc, char **argv, struct arguments *arguments);

#endif
