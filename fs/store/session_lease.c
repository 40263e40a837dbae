#include "fs/store/session_lease.h"

#include "fs/base/clock.h"

const int64_t session_lease_idle_limit_ns = 24 * 3600 * NS_PER_S;

int session_lease_set_owner(struct session_lease *lease, int pid)
{
    return process_identify(pid, &lease->owner);
}

void session_lease_set_ttl(struct session_lease *lease, uint64_t seconds)
{
    lease->ends_ns = clock_real_ns() + (int64_t)seconds * NS_PER_S;
}

int64_t session_lease_time_left_ns(const struct session_lease *lease)
{
    return lease->ends_ns ? lease->ends_ns - clock_real_ns() : INT64_MAX;
}

int64_t session_lease_idle_left_ns(int64_t used_ns)
{
    return used_ns + session_lease_idle_limit_ns - clock_monotonic_coarse_ns();
}

bool session_lease_is_over(const struct session_lease *lease)
{
    return session_lease_time_left_ns(lease) <= 0 ||
           (lease->owner.pid && process_look(&lease->owner) == PROCESS_GONE);
}
