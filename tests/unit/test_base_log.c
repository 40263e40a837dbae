/*
 * What a daemon logs: each message reaches syslog(3) at its own level.
 */
#include "fs/base/log.h"

#include <stdarg.h>
#include <string.h>
#include <syslog.h>

#include "tests/unit/support.h"

static int last_priority = -1;
static char last_text[256];

/* In the place of the C library's. */
void syslog(int priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    last_priority = priority;
    (void)vsnprintf(last_text, sizeof(last_text), format, arguments);
    va_end(arguments);
}

static void check_last(int priority, const char *text)
{
    CHECK_EQ(last_priority, priority);
    CHECK(!strcmp(last_text, text));
    last_priority = -1;
}

static void test_levels_reach_syslog(void **state UNUSED)
{
    log_to_syslog();
    log_info("plain %d", 1);
    check_last(LOG_INFO, "plain 1");
    log_warning("odd %d", 2);
    check_last(LOG_WARNING, "warning: odd 2");
    log_error("bad %d", 3);
    check_last(LOG_ERR, "bad 3");
    CHECK_EQ(log_errno(ENOSPC, "file"), -ENOSPC);
    check_last(LOG_ERR, "file: No space left on device");
    CHECK_EQ(log_fail(EBUSY, "busy"), -EBUSY);
    check_last(LOG_ERR, "busy");
    log_set_quiet(1);
    log_info("not this");
    CHECK_EQ(last_priority, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_levels_reach_syslog),
    };
    return cmocka_run_group_tests_name("base-log", tests, NULL, NULL);
}
