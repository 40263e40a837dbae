#include "fs/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <syslog.h>

#include "fs/base/printable.h"
#include "fs/base/progress.h"
#include "fs/base/text.h"
#include "fs/base/wrap.h"

static atomic_int quiet_info;
static atomic_int uses_syslog;

/* One write(2) per message, so that messages of processes that share a terminal do not mix. */
static void write_line(const char *line)
{
    enum { INDENT = 2 };
    AUTO_FREE char *wrapped = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&wrapped, &size);
    if (!stream)
        return;
    wrap_print(stream, line, 0, INDENT, wrap_columns(STDERR_FILENO));
    (void)fputc('\n', stream);
    if (fclose(stream) != 0)
        return;
    (void)fflush(stderr);
    progress_hide();
    if (write(STDERR_FILENO, wrapped, size) < 0)
        return;
}

PRINTF_LIKE(2, 0)
static void emit(int priority, const char *format, va_list arguments, const char *reason)
{
    AUTO_FREE char *text = text_vformat(format, arguments);
    if (!text)
        return;
    /* File names may contain control characters, which must not reach a terminal. */
    printable_clean(text);
    const char *kind = priority == LOG_WARNING ? "warning: " : "";
    if (atomic_load(&uses_syslog)) {
        syslog(priority, "%s%s%s%s", kind, text, reason ? ": " : "", reason ? reason : "");
        return;
    }
    AUTO_FREE char *line =
        text_format("mintfs: %s%s%s%s", kind, text, reason ? ": " : "", reason ? reason : "");
    if (line)
        write_line(line);
}

void log_info(const char *format, ...)
{
    if (atomic_load(&quiet_info))
        return;
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_INFO, format, arguments, NULL);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_WARNING, format, arguments, NULL);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_ERR, format, arguments, NULL);
    va_end(arguments);
}

int log_errno(int error, const char *format, ...)
{
    char reason[256];
    error = abs(error);
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_ERR, format, arguments, strerror_r(error, reason, sizeof(reason)));
    va_end(arguments);
    return -error;
}

int log_fail(int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    emit(LOG_ERR, format, arguments, NULL);
    va_end(arguments);
    return -abs(error);
}

void log_set_quiet(int quiet)
{
    atomic_store(&quiet_info, quiet);
}

void log_to_syslog(void)
{
    openlog("mintfs", LOG_PID, LOG_DAEMON);
    atomic_store(&uses_syslog, 1);
}
