/*
 * Names of templates, and keys as messages show them. fs/store/named.h resolves names to keys.
 */
#ifndef MINTFS_STORE_NAMES_H
#define MINTFS_STORE_NAMES_H

#include <stdbool.h>

/* What name_is_valid() accepts, for messages. */
#define NAME_RULES                                                                                 \
    "1 to 64 of [A-Za-z0-9._-], no leading dot, and not only hexadecimal digits from four on"

enum { NAME_LENGTH_MAX = 64, NAME_HEX_LENGTH_MIN = 4 };

bool name_is_valid(const char *name);

/* The beginning of a key that identifies it to people: log_info("building %" PRI_KEY, key). */
#define PRI_KEY ".12s"
enum { SHORT_KEY_LENGTH = 12 };

#endif
