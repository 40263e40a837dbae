/*
 * Text for people, wrapped at blanks to the width of a terminal.
 */
#ifndef MINTFS_BASE_WRAP_H
#define MINTFS_BASE_WRAP_H

#include <stdio.h>

/* The width of the terminal `fd` in columns; 0 if it is none, or its width is not known. */
unsigned wrap_columns(int fd);

/*
 * Prints text without a line end, starting in column `column`; further lines are indented by
 * `indent` blanks. A word longer than a line is not broken, so that it can be copied. A width of 0
 * breaks nothing. Characters that are not printable become "?".
 */
void wrap_print(FILE *stream, const char *text, unsigned column, unsigned indent, unsigned width);

#endif
