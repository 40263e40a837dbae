/*
 * One line of text into words, as a shell would without expanding anything: words end at blanks;
 * 'single quotes' keep all, "double quotes" all but a backslash before \ and ", a backslash
 * outside quotes keeps the next character. Nothing is run and no variable is read.
 */
#ifndef MINTFS_BASE_SHELL_WORDS_H
#define MINTFS_BASE_SHELL_WORDS_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/* Appends the words. -EINVAL, unsaid: a quote that is not closed, or a backslash at the end. */
MUST_CHECK int shell_words_split(const char *line, struct strlist *words);

#endif
