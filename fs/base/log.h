/*
 * Messages for people: one line each on stderr, with the prefix "mintfs: ".
 *
 * A message is logged once, where the cause is known, and names the thing and the reason. Callers
 * then return the negative errno without logging a second message.
 */
#ifndef MINTFS_BASE_LOG_H
#define MINTFS_BASE_LOG_H

#include "fs/base/cleanup.h"

/* Information, such as what the process waits for. Silent after log_set_quiet(1). */
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* Logs "TEXT: strerror(error)" and returns -|error|, for use as `return log_errno(...)`. */
int log_errno(int error, const char *format, ...) PRINTF_LIKE(2, 3);

/* Logs TEXT without strerror(error), and returns -|error|. */
int log_fail(int error, const char *format, ...) PRINTF_LIKE(2, 3);

void log_set_quiet(int quiet);
/* For a daemon without a standard error: sends all further messages to syslog(3). */
void log_to_syslog(void);

#endif
