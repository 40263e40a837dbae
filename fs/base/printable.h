/*
 * Text from outside, as names of files and what a builder was called, made fit for a terminal.
 *
 * What is not printable: bytes that are no UTF-8, control characters (C0, DEL, C1), line and
 * paragraph separators, and what turns the direction of the text around it, so that a name would be
 * read as another.
 */
#ifndef MINTFS_BASE_PRINTABLE_H
#define MINTFS_BASE_PRINTABLE_H

#include <stddef.h>

/* Bytes of the UTF-8 character that begins there, printable or not; 0: none does. */
size_t utf8_length(const char *at);

/* Puts "?" in place of each character that is not printable. */
void printable_clean(char *text);

#endif
