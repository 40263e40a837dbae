#include "tools/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/base/wrap.h"

enum { PROSE_MAX = 80 };

static const int64_t second_ns = 1000000000;

const char *output_size(uint64_t bytes, char ret_text[SHOWN_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        value /= 1024;
    (void)snprintf(ret_text, SHOWN_SIZE, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
                   units[unit]);
    return ret_text;
}

const char *output_count(uint64_t count, const char *what, char ret_text[SHOWN_SIZE])
{
    (void)snprintf(ret_text, SHOWN_SIZE, "%" PRIu64 " %s%s", count, what, count == 1 ? "" : "s");
    return ret_text;
}

const char *output_time(int64_t ns, char ret_text[SHOWN_SIZE])
{
    time_t seconds = (time_t)(ns / second_ns);
    struct tm local;
    if (!ns || !localtime_r(&seconds, &local) ||
        !strftime(ret_text, SHOWN_SIZE, "%Y-%m-%d %H:%M", &local))
        (void)snprintf(ret_text, SHOWN_SIZE, "-");
    return ret_text;
}

static void format_long(int64_t seconds, char *text)
{
    if (seconds < 60)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < 86400)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " d", seconds / 86400);
}

const char *output_age(int64_t ns, char ret_text[SHOWN_SIZE])
{
    int64_t seconds = (clock_real_ns() - ns) / second_ns;
    format_long(seconds < 0 ? 0 : seconds, ret_text);
    return ret_text;
}

const char *output_duration(int64_t ns, char ret_text[SHOWN_SIZE])
{
    if (ns < 10 * second_ns)
        (void)snprintf(ret_text, SHOWN_SIZE, "%.1f s", (double)ns / (double)second_ns);
    else if (ns < 3600 * second_ns)
        format_long(ns / second_ns, ret_text);
    else
        (void)snprintf(ret_text, SHOWN_SIZE, "%.1f h", (double)ns / (double)second_ns / 3600);
    return ret_text;
}

int output_json(json_t *json)
{
    if (!json)
        return log_errno(ENOMEM, "JSON");
    /* The same text, and nothing that a terminal would act on. */
    size_t ascii = isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | ascii);
    json_decref(json);
    putchar('\n');
    return 0;
}

json_t *output_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    AUTO_FREE char *clean = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&clean, &size);
    if (!stream)
        return NULL;
    while (*text) {
        size_t length = utf8_length(text);
        (void)fprintf(stream, "%.*s", length ? (int)length : 3, length ? text : "\xef\xbf\xbd");
        text += length ? length : 1;
    }
    return fclose(stream) == 0 ? json_string(clean) : NULL;
}

json_t *output_names(const char *names)
{
    json_t *array = json_array();
    while (array && *names) {
        size_t length = strcspn(names, " ");
        (void)json_array_append_new(array, json_stringn(names, length));
        names += length + (names[length] == ' ');
    }
    return array;
}

unsigned output_columns(void)
{
    const char *asked = getenv("COLUMNS");
    int columns = asked ? atoi(asked) : 0;
    return columns > 0 ? (unsigned)columns : wrap_columns(STDOUT_FILENO);
}

void output_wrapped(const char *text, unsigned indent)
{
    wrap_print(stdout, text, 0, indent, output_columns());
    putchar('\n');
}

void output_line(const char *format, ...)
{
    enum { INDENT = 2 };
    AUTO_FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    output_wrapped(text ? text : "", INDENT);
}

/* The lines from here that are indented alike, as one; *ret_rest is what follows. */
static char *join_lines(const char *text, size_t indent, const char **ret_rest)
{
    char *joined = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&joined, &size);
    for (bool first = true; stream && (first || strspn(text, " ") == indent); first = false) {
        size_t length = strcspn(text, "\n");
        if (length <= indent)
            break;
        (void)fprintf(stream, "%s%.*s", first ? "" : " ", (int)(length - indent), text + indent);
        text += length + (text[length] == '\n');
    }
    *ret_rest = text;
    if (stream && fclose(stream) == 0)
        return joined;
    free(joined);
    return NULL;
}

void output_paragraphs(const char *text)
{
    unsigned width = output_columns();
    if (!width) {
        (void)fputs(text, stdout);
        return;
    }
    width = width < PROSE_MAX ? width : PROSE_MAX;
    while (*text) {
        if (*text == '\n') {
            putchar(*text++);
            continue;
        }
        unsigned indent = (unsigned)strspn(text, " ");
        AUTO_FREE char *joined = join_lines(text, indent, &text);
        if (!joined)
            return;
        printf("%*s", (int)indent, "");
        wrap_print(stdout, joined, indent, indent, width);
        putchar('\n');
    }
}
