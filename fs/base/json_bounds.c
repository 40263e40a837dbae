#include "fs/base/json_bounds.h"

/* The index after the string that begins at `at`. */
static size_t skip_string(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at + 1;
}

bool json_is_within(const char *text, size_t size, const struct json_bounds *bounds)
{
    struct json_bounds left = *bounds;
    for (size_t at = 0; at < size;) {
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, size, at);
            continue;
        }
        /* Each value but the first of its kind follows one of these. */
        if ((c == ',' || c == ':' || c == '[') && left.values-- == 0)
            return false;
        if ((c == '{' && left.objects-- == 0) || (c == '[' && left.arrays-- == 0))
            return false;
        at++;
    }
    return true;
}
