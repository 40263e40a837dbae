#include "tools/output.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/wrap.h"

enum { PROSE_MAX = 80 };

int output_json(json_t *json)
{
    if (!json)
        return log_errno(ENOMEM, "JSON");
    /* On a terminal in ASCII, since it might interpret other characters; the meaning is the same.
     */
    size_t ascii = isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | ascii);
    json_decref(json);
    putchar('\n');
    return 0;
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
    va_list arguments;
    va_start(arguments, format);
    AUTO_FREE char *text = text_vformat(format, arguments);
    va_end(arguments);
    output_wrapped(text ? text : "", INDENT);
}

/* Joins the first lines, as long as they have this indentation; *ret_rest is the rest. */
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

int output_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    (void)log_errno(errno, "cannot write to standard output");
    return -EIO;
}
