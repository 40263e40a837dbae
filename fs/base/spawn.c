#include "fs/base/spawn.h"

#include <string.h>

#include "fs/base/log.h"

int spawn_log_error(int error, const char *what)
{
    error = abs(error);
    if (error != EAGAIN && error != ENOMEM)
        return log_errno(error, "cannot start %s", what);
    char reason[128];
    return log_fail(ENOMEM,
                    "cannot start %s: %s; a limit is used up: on processes (ulimit -u, or the "
                    "pids controller of a cgroup) or on memory (ulimit -v): raise it and try again",
                    what, strerror_r(error, reason, sizeof(reason)));
}

int spawn_thread(pthread_t *ret_thread, void *(*run)(void *context), void *context)
{
    int error = pthread_create(ret_thread, NULL, run, context);
    return error ? spawn_log_error(error, "a thread") : 0;
}
