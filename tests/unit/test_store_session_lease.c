#include "tests/unit/support.h"

#include <signal.h>
#include <sys/wait.h>

#include "fs/base/clock.h"
#include "fs/store/session_lease.h"

static void test_a_lease_without_limits_never_ends(void **state UNUSED)
{
    struct session_lease lease = {.ends_ns = 0};
    CHECK_EQ(session_lease_time_left_ns(&lease), INT64_MAX);
    CHECK(!session_lease_is_over(&lease));
}

static void test_a_lease_ends_at_its_time(void **state UNUSED)
{
    struct session_lease lease = {.ends_ns = 0};
    session_lease_set_ttl(&lease, 3600);
    int64_t left_ns = session_lease_time_left_ns(&lease);
    CHECK(left_ns > 3500 * NS_PER_S && left_ns <= 3600 * NS_PER_S);
    CHECK(!session_lease_is_over(&lease));
    session_lease_set_ttl(&lease, 0);
    CHECK(session_lease_time_left_ns(&lease) <= 0);
    CHECK(session_lease_is_over(&lease));
}

static void test_a_lease_ends_with_its_owner(void **state UNUSED)
{
    struct session_lease lease = {.ends_ns = 0};
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    CHECK_EQ(session_lease_set_owner(&lease, child), 0);
    CHECK(!session_lease_is_over(&lease));
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK(session_lease_is_over(&lease));
    CHECK_EQ(session_lease_set_owner(&lease, child), -ESRCH);
}

static void test_idle_time_is_counted_from_the_last_use(void **state UNUSED)
{
    int64_t now_ns = clock_monotonic_coarse_ns();
    int64_t left_ns = session_lease_idle_left_ns(now_ns);
    CHECK(left_ns <= session_lease_idle_limit_ns);
    CHECK(left_ns > session_lease_idle_limit_ns - 60 * NS_PER_S);
    CHECK(session_lease_idle_left_ns(now_ns - session_lease_idle_limit_ns) <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lease_without_limits_never_ends),
        cmocka_unit_test(test_a_lease_ends_at_its_time),
        cmocka_unit_test(test_a_lease_ends_with_its_owner),
        cmocka_unit_test(test_idle_time_is_counted_from_the_last_use),
    };
    return cmocka_run_group_tests_name("store-session-lease", tests, NULL, NULL);
}
