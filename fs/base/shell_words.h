/*
 * Splits a line into words, as a shell does, without expanding or running anything. Words end at
 * blanks. 'Single quotes' make everything literal, "double quotes" everything except a backslash
 * before \ and ", and a backslash outside quotes makes the next character literal.
 */
#ifndef MINTFS_BASE_SHELL_WORDS_H
#define MINTFS_BASE_SHELL_WORDS_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/* Appends the words. -EINVAL, not logged: an open quote, or a backslash at the end. */
MUST_CHECK int shell_words_split(const char *line, struct strlist *words);

#endif
