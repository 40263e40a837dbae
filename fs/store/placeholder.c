#include "fs/store/placeholder.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool begins_with(const char *text, const char *beginning)
{
    return !strncmp(text, beginning, strlen(beginning));
}

/* Whether the placeholder at `at`, which follows the byte `before`, is a variable of a language. */
static bool is_variable(const char *at, char before)
{
    return before == '$' || before == '#' ||
           (isspace((unsigned char)before) && at[strcspn(at, "}") + 1] == '=');
}

char *placeholders_fill(const struct placeholders *places, const char *argument, bool *has_out)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    char before = '\0';
    for (const char *at = argument; *at;) {
        bool is_out = begins_with(at, "{out}");
        bool is_escaped = begins_with(at, "{{out}}") || begins_with(at, "{{dir}}");
        if (is_escaped) {
            (void)fprintf(stream, "%.*s", (int)strlen("{out}"), at + 1);
            at += strlen("{{out}}");
            before = '}';
        } else if ((is_out || begins_with(at, "{dir}")) && !is_variable(at, before)) {
            (void)fputs(is_out ? places->out : places->dir, stream);
            *has_out |= is_out;
            at += strlen("{out}");
            before = '}';
        } else {
            before = *at++;
            (void)fputc(before, stream);
        }
    }
    return fclose(stream) == 0 ? steal_pointer(&text) : NULL;
}
