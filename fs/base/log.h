/*
 * Messages to people, on stderr, one line each, "mintfs: ..." in front.
 *
 * A message is made once, where the cause is known, and names the thing and the reason; callers
 * above pass the negative errno on without a second message.
 */
#ifndef MINTFS_BASE_LOG_H
#define MINTFS_BASE_LOG_H

#include "fs/base/cleanup.h"

/* Plain information: what is waited for, what was found. Silent after log_set_quiet(true). */
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* Logs "TEXT: strerror(error)" and returns -|error|, so that `return log_errno(...)` reads well. */
int log_errno(int error, const char *format, ...) PRINTF_LIKE(2, 3);

/* Logs TEXT alone (the format says all) and returns -|error|. */
int log_fail(int error, const char *format, ...) PRINTF_LIKE(2, 3);

void log_set_quiet(int quiet);
/* For a daemon whose standard error is gone: messages go to syslog(3) from now on. */
void log_to_syslog(void);

#endif
