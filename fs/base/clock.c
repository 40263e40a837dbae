#include "fs/base/clock.h"

#include <sys/syscall.h>
#include <unistd.h>

int64_t clock_from_timespec(const struct timespec *time)
{
    if (time->tv_sec >= INT64_MAX / NS_PER_S)
        return INT64_MAX;
    if (time->tv_sec <= INT64_MIN / NS_PER_S)
        return INT64_MIN;
    return (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec;
}

static int64_t read_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return clock_from_timespec(&now);
}

int64_t clock_real_ns(void)
{
#if defined(SYS_clock_gettime) && __SIZEOF_LONG__ == 8
    struct timespec now = {0};
    if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) == 0)
        return clock_from_timespec(&now);
#endif
    return read_ns(CLOCK_REALTIME);
}

int64_t clock_real_coarse_ns(void)
{
    return read_ns(CLOCK_REALTIME_COARSE);
}

int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_coarse_ns(void)
{
    return read_ns(CLOCK_MONOTONIC_COARSE);
}

struct timespec clock_monotonic_after(int64_t ns)
{
    return clock_to_timespec(clock_monotonic_ns() + ns);
}

void clock_init_condition(pthread_cond_t *ret_condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(ret_condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct timespec clock_to_timespec(int64_t ns)
{
    int64_t seconds = ns / NS_PER_S;
    int64_t rest_ns = ns % NS_PER_S;
    if (rest_ns < 0) {
        rest_ns += NS_PER_S;
        seconds--;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = rest_ns};
}
