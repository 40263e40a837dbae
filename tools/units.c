#include "tools/units.h"

#include <ctype.h>
#include <string.h>

/* The number at the start of text; *ret_rest is what follows. */
static int parse_leading(const char *text, uint64_t *ret_number, const char **ret_rest)
{
    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return -ERANGE;
    *ret_number = number;
    *ret_rest = end;
    return 0;
}

int units_parse_number(const char *text, uint64_t *ret_number)
{
    const char *rest;
    int r = parse_leading(text, ret_number, &rest);
    return r < 0 ? r : *rest ? -EINVAL : 0;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    const char *rest;
    uint64_t number;
    int r = parse_leading(text, &number, &rest);
    if (r < 0)
        return r;
    unsigned shift = 0;
    const char *unit = *rest ? strchr(units, toupper((unsigned char)*rest)) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        rest++;
    }
    if (*rest && strcmp(rest, "B") != 0 && !(unit && !strcmp(rest, "iB")))
        return -EINVAL;
    if (number > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = number << shift;
    return 0;
}
