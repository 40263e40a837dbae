/*
 * Makes text from outside, such as file names and builders' arguments, safe for a terminal.
 *
 * Not printable are: bytes that are not UTF-8, control characters (C0, DEL, C1), line and paragraph
 * separators, and characters that change the direction of the text around them, with which one name
 * can look like another.
 */
#ifndef MINTFS_BASE_PRINTABLE_H
#define MINTFS_BASE_PRINTABLE_H

#include <stddef.h>

/* The length in bytes of the UTF-8 character at `at`, printable or not; 0 if there is none. */
size_t utf8_length(const char *at);

/* Replaces each character that is not printable by "?". */
void printable_clean(char *text);

#endif
