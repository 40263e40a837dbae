/*
 * `mintfs help` and `mintfs help COMMAND`.
 */
#ifndef MINTFS_TOOLS_HELP_H
#define MINTFS_TOOLS_HELP_H

#include <stdio.h>

#include "tools/command.h"

/* Prints the synopsis and summary of each command of the list, which ends with NULL. */
void help_print(const struct command *const *commands, FILE *stream);

/* Prints a command's synopsis, summary and options, as in mintfs(1), on stdout. */
void help_print_command(const struct command *command);

#endif
