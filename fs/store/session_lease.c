#include "fs/store/session_lease.h"

#include <time.h>

#include "fs/base/clock.h"

const int64_t session_lease_idle_limit_ns = 24 * 3600 * INT64_C(1000000000);

int session_lease_set_owner(struct session_lease *lease, int pid)
{
    return process_identify(pid, &lease->owner);
}

void session_lease_set_ttl(struct session_lease *lease, uint64_t seconds)
{
    lease->ends_ns = clock_real_ns() + (int64_t)seconds * 1000000000;
}

int64_t session_lease_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t session_lease_time_left_ns(const struct session_lease *lease)
{
    return lease->ends_ns ? lease->ends_ns - clock_real_ns() : INT64_MAX;
}

int64_t session_lease_idle_left_ns(int64_t used_ns)
{
    return used_ns + session_lease_idle_limit_ns - session_lease_clock_ns();
}

bool session_lease_is_over(const struct session_lease *lease)
{
    return session_lease_time_left_ns(lease) <= 0 ||
           (lease->owner.pid && process_look(&lease->owner) == PROCESS_GONE);
}
