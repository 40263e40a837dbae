#include "fs/overlay/serials.h"

#include <fcntl.h>

#include "fs/base/io.h"

/* How many serials one write sets aside. Those that the daemon does not use are lost. */
enum { SERIALS_AT_ONCE = 256 };

int serials_open(int dirfd, struct serials *ret_serials)
{
    char text[32];
    *ret_serials = (struct serials){.next = 1};
    ret_serials->fd = io_openat(dirfd, "serials", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    ssize_t n = ret_serials->fd < 0 ? ret_serials->fd
                                    : io_pread(ret_serials->fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    uint64_t next = strtoull(text, NULL, 10);
    if (next > 0 && next <= INT32_MAX)
        ret_serials->next = next;
    return 0;
}

void serials_close(struct serials *serials)
{
    if (serials->fd >= 0)
        (void)close(serials->fd);
    serials->fd = -1;
}

int serials_take(struct serials *serials, uint64_t *ret_serial)
{
    if (serials->next > INT32_MAX)
        return -EMFILE;
    if (serials->next >= serials->end) {
        char text[32];
        uint64_t end = serials->next + SERIALS_AT_ONCE;
        /* Always of one length, so that it replaces the old number completely. */
        int length = snprintf(text, sizeof(text), "%020llu\n", (unsigned long long)end);
        int r = io_pwrite(serials->fd, text, (size_t)length, 0);
        if (r < 0)
            return r;
        serials->end = end;
    }
    *ret_serial = serials->next++;
    return 0;
}

void serials_skip(struct serials *serials, uint64_t serial)
{
    if (serial >= serials->next)
        serials->next = serial + 1;
}
