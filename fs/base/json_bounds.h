/*
 * How much a JSON text will take to parse, told before it is parsed: 200 MB of zeros and commas
 * are 4 GiB of values.
 */
#ifndef MINTFS_BASE_JSON_BOUNDS_H
#define MINTFS_BASE_JSON_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>

struct json_bounds {
    size_t values; /* of all kinds together */
    size_t objects;
    size_t arrays;
};

/* Whether the text has no more of each. Whether it is JSON at all is the parser's to say. */
bool json_is_within(const char *text, size_t size, const struct json_bounds *bounds);

#endif
