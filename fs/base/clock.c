#include "fs/base/clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t clock_real_ns(void)
{
    struct timespec now = {0};
#if defined(SYS_clock_gettime) && __SIZEOF_LONG__ == 8
    if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) < 0)
#endif
        (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
