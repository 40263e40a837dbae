/*
 * How results are shown to people: sizes and times as they read them, and lines that fit their
 * terminal. With --json everything is exact instead.
 */
#ifndef MINTFS_TOOLS_OUTPUT_H
#define MINTFS_TOOLS_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/names.h"

enum { SHOWN_KEY = SHORT_KEY_LENGTH };

/* Prints JSON on stdout, indented, and frees it; NULL is -ENOMEM. */
MUST_CHECK int output_json(json_t *json);

/* Columns of the terminal, or of $COLUMNS; 0: as wide as need be. */
unsigned output_columns(void);

/* Prints a line on stdout, broken at blanks to fit; lines but the first begin with two blanks. */
void output_line(const char *format, ...) PRINTF_LIKE(1, 2);

/* Prints lines on stdout, those that are indented alike as one paragraph, filled to fit a terminal;
 * as they are where there is none. */
void output_paragraphs(const char *text);

/* Prints text on stdout, broken at blanks to fit; lines but the first begin with `indent` blanks. */
void output_wrapped(const char *text, unsigned indent);

/*
 * After the last write to stdout. -EIO (logged) if the results could not be written, as to a full disk
 * behind a redirection.
 */
MUST_CHECK int output_flush(void);

#endif
