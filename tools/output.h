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

enum { SHOWN_SIZE = 32, SHOWN_KEY = 12 };

/* "812 B", "4.0 MiB" */
const char *output_size(uint64_t bytes, char ret_text[SHOWN_SIZE]);
/* "2026-11-22 14:05", local time; "-" for 0 */
const char *output_time(int64_t ns, char ret_text[SHOWN_SIZE]);
/* "1 template", "3 templates" */
const char *output_count(uint64_t count, const char *what, char ret_text[SHOWN_SIZE]);
/* How long ago: "5 s", "3 min", "7 h", "12 d" */
const char *output_age(int64_t ns, char ret_text[SHOWN_SIZE]);
/* How long: "0.2 s", "3 min", "1.5 h" */
const char *output_duration(int64_t ns, char ret_text[SHOWN_SIZE]);

/* Prints JSON on stdout, indented, and frees it; NULL is -ENOMEM. */
MUST_CHECK int output_json(json_t *json);
/* The names, with spaces between, as an array. */
/* A JSON string; bytes that are not UTF-8, as file names may have, become U+FFFD each. */
json_t *output_text(const char *text);

json_t *output_names(const char *names);

/* Columns of the terminal, or of $COLUMNS; 0: as wide as need be. */
unsigned output_columns(void);

/* Prints a line on stdout, broken at blanks to fit; lines but the first begin with two blanks. */
void output_line(const char *format, ...) PRINTF_LIKE(1, 2);

/* Prints lines on stdout, those that are indented alike as one paragraph, filled to fit a terminal;
 * as they are where there is none. */
void output_paragraphs(const char *text);

/* Prints text on stdout, broken at blanks to fit; lines but the first begin with `indent` blanks. */
void output_wrapped(const char *text, unsigned indent);

#endif
