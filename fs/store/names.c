#include "fs/store/names.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

bool name_is_valid(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LENGTH_MAX || name[0] == '.' ||
        strspn(name, alphabet) != length)
        return false;
    /* From four digits on it could be the beginning of a key. */
    return length < NAME_HEX_LENGTH_MIN || strspn(name, "0123456789abcdefABCDEF") != length;
}
