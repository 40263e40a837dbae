/*
 * Small helpers for text.
 */
#ifndef MINTFS_BASE_TEXT_H
#define MINTFS_BASE_TEXT_H

#include <stdarg.h>

#include "fs/base/cleanup.h"

/*
 * As asprintf(3), but returns the text: NULL when out of memory. The caller frees it.
 *
 *     AUTO_FREE char *path = text_format("%s/v1/locks", store->path);
 *     if (!path)
 *         return -ENOMEM;
 */
MUST_CHECK char *text_format(const char *format, ...) PRINTF_LIKE(1, 2);
MUST_CHECK char *text_vformat(const char *format, va_list arguments) PRINTF_LIKE(1, 0);

/* Cuts the blanks off both ends, in place. Returns where the rest begins. */
char *text_trim(char *text);

#endif
