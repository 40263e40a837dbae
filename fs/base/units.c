#include "fs/base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "fs/base/clock.h"

enum { MILLION = 1000000 };

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

/* The decimal fraction in millionths; further digits make no difference. */
static int parse_millionths(const char **text, uint64_t *ret_millionths)
{
    uint64_t worth = MILLION;
    const char *at = *text;
    *ret_millionths = 0;
    if (*at != '.')
        return 0;
    if (!isdigit((unsigned char)*++at))
        return -EINVAL;
    for (; isdigit((unsigned char)*at); at++) {
        worth /= 10;
        *ret_millionths += worth * (uint64_t)(*at - '0');
    }
    *text = at;
    return 0;
}

int units_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    const char *rest;
    uint64_t number;
    uint64_t millionths = 0;
    int r = parse_leading(text, &number, &rest);
    if (r == 0)
        r = parse_millionths(&rest, &millionths);
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
    /* There is no half of a byte. */
    if (millionths && !unit)
        return -EINVAL;
    if (number >= UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = (number << shift) + (millionths << shift) / MILLION;
    return 0;
}

int units_parse_duration(const char *text, uint64_t *ret_seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const char *rest;
    uint64_t number;
    int r = parse_leading(text, &number, &rest);
    if (r < 0)
        return r;
    uint64_t unit_seconds = *rest ? 0 : 1;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (rest[0] == units[i].unit && rest[1] == '\0')
            unit_seconds = units[i].seconds;
    if (unit_seconds == 0)
        return -EINVAL;
    if (number > UINT64_MAX / unit_seconds)
        return -ERANGE;
    *ret_seconds = number * unit_seconds;
    return 0;
}

/* ---- texts for people ---- */

const char *units_format_size(uint64_t bytes, char ret_text[UNITS_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        value /= 1024;
    (void)snprintf(ret_text, UNITS_TEXT_SIZE, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
                   units[unit]);
    return ret_text;
}

const char *units_format_count(uint64_t count, const char *noun, char ret_text[UNITS_TEXT_SIZE])
{
    (void)snprintf(ret_text, UNITS_TEXT_SIZE, "%" PRIu64 " %s%s", count, noun,
                   count == 1 ? "" : "s");
    return ret_text;
}

const char *units_format_time(int64_t ns, char ret_text[UNITS_TEXT_SIZE])
{
    time_t seconds = (time_t)(ns / NS_PER_S);
    struct tm local;
    if (!ns || !localtime_r(&seconds, &local) ||
        !strftime(ret_text, UNITS_TEXT_SIZE, "%Y-%m-%d %H:%M", &local))
        (void)snprintf(ret_text, UNITS_TEXT_SIZE, "-");
    return ret_text;
}

static void format_long(int64_t seconds, char *text)
{
    if (seconds < 60)
        (void)snprintf(text, UNITS_TEXT_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        (void)snprintf(text, UNITS_TEXT_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < 86400)
        (void)snprintf(text, UNITS_TEXT_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        (void)snprintf(text, UNITS_TEXT_SIZE, "%" PRId64 " d", seconds / 86400);
}

const char *units_format_age(int64_t ns, char ret_text[UNITS_TEXT_SIZE])
{
    int64_t seconds = (clock_real_ns() - ns) / NS_PER_S;
    format_long(seconds < 0 ? 0 : seconds, ret_text);
    return ret_text;
}

const char *units_format_duration(int64_t ns, char ret_text[UNITS_TEXT_SIZE])
{
    if (ns < 10 * NS_PER_S)
        (void)snprintf(ret_text, UNITS_TEXT_SIZE, "%.1f s", (double)ns / (double)NS_PER_S);
    else if (ns < 3600 * NS_PER_S)
        format_long(ns / NS_PER_S, ret_text);
    else
        (void)snprintf(ret_text, UNITS_TEXT_SIZE, "%.1f h", (double)ns / (double)NS_PER_S / 3600);
    return ret_text;
}
