#include "fs/store/session_id.h"

#include <stdlib.h>
#include <string.h>

bool session_id_is_valid(const char *id)
{
    size_t length = strlen(id);
    return length >= 1 && length <= SESSION_ID_MAX && id[0] != '.' &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               length;
}

int session_id_owner(const char *id)
{
    static const char mark[] = ".pid-";
    enum { DIGITS_MAX = 9 };
    const char *dash = strrchr(id, '-');
    size_t digits = dash ? strlen(dash + 1) : 0;
    size_t before = dash ? (size_t)(dash + 1 - id) : 0;
    if (before <= strlen(mark) || memcmp(dash + 1 - strlen(mark), mark, strlen(mark)) != 0 ||
        digits == 0 || digits > DIGITS_MAX || strspn(dash + 1, "0123456789") != digits)
        return 0;
    return atoi(dash + 1);
}
