/*
 * Reads a command line by the command's table.
 */
#ifndef MINTFS_TOOLS_ARGUMENTS_H
#define MINTFS_TOOLS_ARGUMENTS_H

#include "tools/command.h"

/*
 * Fills in the arguments, of which the command, its group and the request are set. argv[0] is the
 * command's name; long options may be abbreviated. 0; 1 where --help is asked for; -EINVAL (logged)
 * for unknown options, bad values, and too many or too few operands; -ENOMEM.
 */
MUST_CHECK int arguments_read(int argc, char **argv, struct arguments *arguments);

#endif
