#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/base/io.h"
#include "fs/overlay/node.h"

static const int64_t idle_limit_ns = 24 * 3600 * INT64_C(1000000000);

/* Field 22 of /proc/PID/stat (proc(5)): the name in field 2 may hold anything, up to the last ")".
 */
static int read_start(int pid, uint64_t *ret_start)
{
    enum { FIELDS_BEHIND_NAME = 20 };
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? fd : io_pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return -ESRCH;
    text[n] = '\0';
    char *at = strrchr(text, ')');
    for (int i = 0; at && i < FIELDS_BEHIND_NAME; i++)
        at = strchr(at + 1, ' ');
    if (!at)
        return -ESRCH;
    *ret_start = strtoull(at, NULL, 10);
    /* A zombie is gone, although its parent has not asked yet. */
    const char *state = strrchr(text, ')');
    return state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X') ? -ESRCH : 0;
}

int session_lease_set_owner(struct session_lease *lease, int pid)
{
    uint64_t start;
    int r = pid > 0 ? read_start(pid, &start) : -ESRCH;
    if (r < 0)
        return r;
    lease->owner_pid = pid;
    lease->owner_start = start;
    return 0;
}

bool session_lease_owner_lives(const struct session_lease *lease)
{
    uint64_t start;
    return lease->owner_pid == 0 ||
           (read_start(lease->owner_pid, &start) == 0 && start == lease->owner_start);
}

/* Idleness is counted on a clock that nobody sets. */
int64_t session_lease_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t session_lease_left_ns(const struct session_lease *lease, int64_t used_ns)
{
    return lease->ends_ns ? lease->ends_ns - node_now_ns()
                          : used_ns + idle_limit_ns - session_lease_clock_ns();
}

bool session_lease_is_over(const struct session_lease *lease)
{
    return (lease->ends_ns && session_lease_left_ns(lease, 0) <= 0) ||
           !session_lease_owner_lives(lease);
}
