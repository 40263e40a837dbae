/*
 * A socket pair connects mintfs and the guard: mintfs sends orders of one byte, the guard sends
 * `struct report`s. The end of the stream tells the guard that mintfs is dead.
 */
#include "fs/store/builder_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fs/base/clock.h"
#include "fs/base/interrupt.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"

/* How long the builder may take to end after a signal. */
static const int64_t grace_ns = 5000 * NS_PER_MS;

/* Any other order is the number of a signal for the builder. */
enum { ORDER_KILL = 0, ORDER_DETACH = 255 };

enum report_kind { REPORT_ENDED, REPORT_NOT_RUN, REPORT_WANTS_TERMINAL };

struct report {
    enum report_kind kind;
    int value; /* a wait status, or an errno */
};

/* ---- children ---- */

/* The PIDs of this process's children, separated by spaces; NULL where the kernel has no such
 * list. */
static char *list_children(void)
{
    char path[64];
    char *list = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    AUTO_FILE FILE *children = fopen(path, "re");
    if (children && getdelim(&list, &size, '\0', children) < 0) {
        free(list);
        list = strdup("");
    }
    return list;
}

/* Returns the next PID of a list, and moves *at past it; 0 at the end. */
static pid_t next_child(const char **at)
{
    char *end = NULL;
    pid_t pid = *at ? (pid_t)strtol(*at, &end, 10) : 0;
    *at = end;
    return pid;
}

static bool is_listed(const char *list, pid_t wanted)
{
    pid_t pid;
    while ((pid = next_child(&list)) > 0 && pid != wanted)
        ;
    return pid > 0;
}

/*
 * Kills the children of this process that are not in the list `spared`, and everything below them:
 * each round makes the killed processes' own children this process's. False where the kernel has no
 * list of children.
 */
static bool kill_children(const char *spared)
{
    for (bool any = true; any;) {
        AUTO_FREE char *children = list_children();
        any = false;
        if (!children)
            return false;
        const char *at = children;
        for (pid_t pid; (pid = next_child(&at)) > 0;)
            if (!is_listed(spared, pid))
                (void)kill(pid, SIGKILL);
        at = children;
        for (pid_t pid; (pid = next_child(&at)) > 0;) {
            if (is_listed(spared, pid))
                continue;
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
            any = true;
        }
    }
    return true;
}

/* ---- the guard ---- */

static void send_report(int fd, enum report_kind kind, int value)
{
    struct report report = {.kind = kind, .value = value};
    if (send(fd, &report, sizeof(report), MSG_NOSIGNAL) < 0)
        return; /* mintfs is dead, as the next read will show */
}

/*
 * The Python package sets MINTFS_PYTHON to the interpreter that runs the tests: PATH may have
 * another one, or none. The builder does not inherit the variable.
 */
static void choose_python(char **word)
{
    char *interpreter = getenv("MINTFS_PYTHON");
    if (interpreter && *interpreter && (!strcmp(*word, "python") || !strcmp(*word, "python3")))
        *word = strdup(interpreter);
    (void)unsetenv("MINTFS_PYTHON");
}

static void run_program(const struct builder_command *command, int error_fd)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    for (size_t i = 0; command->environment[i]; i++)
        if (putenv(command->environment[i]) != 0)
            _exit(RUN_CANNOT_RUN);
    interrupt_restore_in_child();
    (void)signal(SIGXFSZ, SIG_DFL);
    choose_python(&command->argv[0]);
    if (!command->argv[0])
        errno = ENOMEM;
    else if (!command->directory || chdir(command->directory) == 0)
        (void)execvp(command->argv[0], command->argv);
    int error = errno;
    if (write(error_fd, &error, sizeof(error)) < 0)
        _exit(RUN_CANNOT_RUN);
    _exit(RUN_NOT_FOUND);
}

/* Forks the builder. Returns its PID; -1, after a report: it could not be run. */
static pid_t fork_builder(int fd, const struct builder_command *command)
{
    int error_pipe[2];
    if (pipe2(error_pipe, O_CLOEXEC) < 0) {
        send_report(fd, REPORT_NOT_RUN, errno);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        run_program(command, error_pipe[1]);
    int error = pid < 0 ? errno : 0;
    (void)close(error_pipe[1]);
    if (pid > 0 && read(error_pipe[0], &error, sizeof(error)) != sizeof(error))
        error = 0;
    (void)close(error_pipe[0]);
    if (error) {
        send_report(fd, REPORT_NOT_RUN, error);
        return -1;
    }
    return pid;
}

/* Reaps the children that have ended. Returns the builder's PID while it lives, else -1. */
static pid_t reap(int fd, pid_t builder)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
        if (pid != builder)
            continue;
        if (WIFSTOPPED(status)) {
            /* It waits for a terminal that it will never get. */
            if (WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU)
                send_report(fd, REPORT_WANTS_TERMINAL, 0);
            continue;
        }
        builder = -1;
        send_report(fd, REPORT_ENDED, status);
    }
    return builder;
}

static void guard_main(int fd, const struct builder_command *command)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_NAME, "mintfs-guard");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    sigset_t child;
    (void)sigemptyset(&child);
    (void)sigaddset(&child, SIGCHLD);
    int child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    pid_t builder = child_fd < 0 ? -1 : fork_builder(fd, command);
    struct pollfd waits[] = {{.fd = fd, .events = POLLIN}, {.fd = child_fd, .events = POLLIN}};
    for (;;) {
        if (poll(waits, 2, -1) < 0 && errno != EINTR)
            break;
        if (waits[1].revents) {
            struct signalfd_siginfo info;
            while (read(child_fd, &info, sizeof(info)) > 0)
                ;
            builder = reap(fd, builder);
        }
        unsigned char order = ORDER_KILL;
        if (!waits[0].revents)
            continue;
        ssize_t n = recv(fd, &order, sizeof(order), 0);
        if (n == 1 && order == ORDER_DETACH)
            _exit(0);
        if (n != 1 || order == ORDER_KILL)
            break;
        if (builder > 0)
            (void)kill(-builder, order);
    }
    if (!kill_children(NULL) && builder > 0)
        (void)kill(-builder, SIGKILL);
    _exit(0);
}

/* ---- mintfs ---- */

static void send_order(const struct builder *builder, int number)
{
    unsigned char byte = (unsigned char)number;
    if (send(builder->fd, &byte, sizeof(byte), MSG_NOSIGNAL) < 0)
        return; /* the guard is dead, as its end of the stream will show */
}

/* Returns the previous setting. */
static bool set_subreaper(bool on)
{
    int was = 0;
    (void)prctl(PR_GET_CHILD_SUBREAPER, &was);
    (void)prctl(PR_SET_CHILD_SUBREAPER, on);
    return was;
}

int builder_start(const struct builder_command *command, struct builder *ret_builder)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return log_errno(errno, "cannot start the builder");
    (void)fflush(stdout);
    AUTO_FREE char *earlier = list_children();
    bool is_subreaper = set_subreaper(true);
    /* If a parent had it ignored, the kernel would reap our children before waitpid() sees them. */
    (void)signal(SIGCHLD, SIG_DFL);
    pid_t guard = fork();
    if (guard == 0) {
        (void)close(ends[0]);
        guard_main(ends[1], command);
    }
    int error = errno;
    (void)close(ends[1]);
    if (guard < 0) {
        (void)close(ends[0]);
        (void)set_subreaper(is_subreaper);
        return spawn_log_error(error, "the builder");
    }
    *ret_builder = (struct builder){.guard = guard,
                                    .fd = ends[0],
                                    .earlier = steal_pointer(&earlier),
                                    .was_subreaper = is_subreaper};
    return 0;
}

static int read_report(struct builder *builder, const char *program, const struct report *report,
                       int *ret_status)
{
    switch (report->kind) {
    case REPORT_ENDED:
        builder->signal = WIFSIGNALED(report->value) ? WTERMSIG(report->value) : 0;
        *ret_status = builder->signal ? 128 + builder->signal : WEXITSTATUS(report->value);
        return 0;
    case REPORT_NOT_RUN:
        *ret_status = report->value == ENOENT ? RUN_NOT_FOUND : RUN_CANNOT_RUN;
        (void)log_errno(report->value, "cannot run the builder %s", program);
        return 0;
    default:
        return log_fail(ENOTTY,
                        "the builder %s wants to talk to the terminal, which it cannot: "
                        "give it its answers in arguments or files",
                        program);
    }
}

int builder_wait(struct builder *builder, const char *program, int *ret_status)
{
    int passed = 0;
    int64_t deadline_ns = -1;
    struct pollfd waits[] = {{.fd = builder->fd, .events = POLLIN},
                             {.fd = interrupt_fd(), .events = POLLIN}};
    for (;;) {
        int count = interrupt_count();
        if (count > passed) {
            send_order(builder, count > 1 ? ORDER_KILL : interrupt_pending());
            deadline_ns = clock_monotonic_ns() + grace_ns;
            passed = count;
            waits[1].fd = -1; /* it stays readable; another signal interrupts poll() */
        }
        int64_t left_ns = deadline_ns < 0 ? 0 : deadline_ns - clock_monotonic_ns();
        if (deadline_ns >= 0 && left_ns <= 0)
            return -EINTR;
        int n = poll(waits, 2, deadline_ns < 0 ? -1 : (int)(left_ns / NS_PER_MS + 1));
        if (n <= 0 || !waits[0].revents)
            continue;
        struct report report;
        ssize_t size = recv(builder->fd, &report, sizeof(report), 0);
        if (interrupt_pending())
            return -EINTR;
        if (size != sizeof(report)) {
            /* The guard was killed, and the builder with it (PR_SET_PDEATHSIG); builder_end()
             * kills the rest. */
            builder->signal = SIGKILL;
            *ret_status = 128 + SIGKILL;
            return 0;
        }
        return read_report(builder, program, &report, ret_status);
    }
}

/* Sends the last order, and returns the guard's wait status. */
static int dismiss_guard(const struct builder *builder, int number)
{
    int status = 0;
    send_order(builder, number);
    while (waitpid(builder->guard, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void builder_fini(struct builder *builder)
{
    free(builder->earlier);
    (void)close(builder->fd);
    *builder = (struct builder)BUILDER_INIT;
}

void builder_end(struct builder *builder)
{
    if (builder->fd < 0)
        return;
    if (WIFSIGNALED(dismiss_guard(builder, ORDER_KILL)))
        (void)kill_children(builder->earlier);
    (void)set_subreaper(builder->was_subreaper);
    builder_fini(builder);
}

void builder_detach(struct builder *builder)
{
    if (builder->fd < 0)
        return;
    /* First, so that this process does not adopt what the guard leaves. */
    (void)set_subreaper(builder->was_subreaper);
    (void)dismiss_guard(builder, ORDER_DETACH);
    builder_fini(builder);
}
