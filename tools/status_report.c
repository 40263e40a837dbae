#include "tools/status_report.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/units.h"

static const char variable[] = "MINTFS_STATUS_FD";

/*
 * If the variable was inherited by mistake, the number may be that of any file, but is unlikely to
 * be that of a pipe.
 */
static int find_pipe(const char *text)
{
    uint64_t fd;
    struct stat status;
    if (units_parse_number(text, &fd) < 0 || fd <= STDERR_FILENO || fd > INT_MAX)
        return -1;
    if (fstat((int)fd, &status) < 0 || !S_ISFIFO(status.st_mode))
        return -1;
    return fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : (int)fd;
}

int status_report_take(void)
{
    const char *text = getenv(variable);
    int fd = text ? find_pipe(text) : -1;
    (void)unsetenv(variable);
    return fd;
}

void status_report(int fd, int status)
{
    if (fd < 0)
        return;
    (void)signal(SIGPIPE, SIG_IGN); /* the reader may be gone */
    (void)dprintf(fd, "%d\n", status);
}
