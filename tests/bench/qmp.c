#include "tests/bench/qmp.h"

#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct qmp {
    FILE *in;
    FILE *out;
    char line[64 << 10];
    char last_event[64 << 10];
};

static _Noreturn void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "session_bench: %s: %s\n", what, why);
    exit(1);
}

static void read_line(struct qmp *qmp)
{
    if (!fgets(qmp->line, sizeof(qmp->line), qmp->in))
        fail("qemu-storage-daemon", "has ended");
}

/* Skips events, which may come before the answer. */
static void read_answer(struct qmp *qmp, const char *asked)
{
    for (;;) {
        read_line(qmp);
        if (strstr(qmp->line, "\"error\""))
            fail(asked, qmp->line);
        if (strstr(qmp->line, "\"return\""))
            return;
        if (strstr(qmp->line, "\"event\""))
            (void)snprintf(qmp->last_event, sizeof(qmp->last_event), "%s", qmp->line);
    }
}

struct qmp *qmp_connect(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    struct qmp *qmp = calloc(1, sizeof(*qmp));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!qmp || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail(socket_path, strerror(errno));
    qmp->in = fdopen(fd, "r");
    qmp->out = fdopen(dup(fd), "w");
    if (!qmp->in || !qmp->out)
        fail(socket_path, strerror(errno));
    read_line(qmp); /* the greeting */
    qmp_execute(qmp, "{\"execute\":\"qmp_capabilities\"}");
    return qmp;
}

void qmp_execute(struct qmp *qmp, const char *format, ...)
{
    va_list arguments;
    qmp->last_event[0] = '\0';
    va_start(arguments, format);
    (void)vfprintf(qmp->out, format, arguments);
    va_end(arguments);
    (void)fputc('\n', qmp->out);
    if (fflush(qmp->out) != 0)
        fail("qemu-storage-daemon", strerror(errno));
    read_answer(qmp, format);
}

void qmp_await(struct qmp *qmp, const char *event)
{
    if (strstr(qmp->last_event, event))
        return;
    do
        read_line(qmp);
    while (!strstr(qmp->line, event));
}
