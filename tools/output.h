/*
 * Results on stdout: JSON, and lines that fit the terminal.
 */
#ifndef MINTFS_TOOLS_OUTPUT_H
#define MINTFS_TOOLS_OUTPUT_H

#include <jansson.h>

#include "fs/base/cleanup.h"

/* Prints JSON on stdout, indented, and frees it. -ENOMEM (logged) if it is NULL. */
MUST_CHECK int output_json(json_t *json);

/* $COLUMNS, else the width of the terminal; 0: unlimited. */
unsigned output_columns(void);

/* Prints a line, broken at spaces to fit; lines after the first are indented by two spaces. */
void output_line(const char *format, ...) PRINTF_LIKE(1, 2);

/* Prints lines; on a terminal, lines with the same indentation are filled as one paragraph. */
void output_paragraphs(const char *text);

/* Prints a text, broken at spaces to fit; lines after the first are indented by `indent` spaces. */
void output_wrapped(const char *text, unsigned indent);

/* To be called after the last write to stdout. -EIO (logged) if it failed, as on a full disk. */
MUST_CHECK int output_flush(void);

#endif
