/*
 * Text for people, broken at blanks to fit a terminal.
 */
#ifndef MINTFS_BASE_WRAP_H
#define MINTFS_BASE_WRAP_H

#include <stdio.h>

#include "fs/base/cleanup.h"

/* Columns of the terminal that `fd` is; 0: it is none, or does not tell. */
unsigned wrap_columns(int fd);

/*
 * Prints text without a line's end, of which `column` columns are used already; further lines begin
 * with `indent` blanks. A word that fits no line stays where it is, in one piece, to be copied: the
 * terminal breaks it. A width of 0 breaks nothing. What is not printable becomes "?".
 */
void wrap_print(FILE *stream, const char *text, unsigned column, unsigned indent, unsigned width);

#endif
