/*
 * Limits on a JSON text, checked before it is parsed: a text of 200 MB of zeros and commas becomes
 * 4 GiB of parsed values.
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

/*
 * Whether the text stays within the bounds. Values are estimated by commas, colons and opening
 * brackets, so an object counts about two for each member. The parser decides whether it is JSON.
 */
bool json_is_within(const char *text, size_t size, const struct json_bounds *bounds);

#endif
