/*
 * Between mintfs and the guard goes a socket pair: mintfs sends one byte orders, the guard sends
 * `struct report`s. The end of the stream is an order, too: mintfs is dead.
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
#include <time.h>

#include "fs/base/interrupt.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"

enum {
    GRACE_MS = 5000,
    ORDER_KILL = 0,
    ORDER_SPARE = 255
}; /* another order is a signal's number */

enum report_kind { REPORT_ENDED, REPORT_NOT_RUN, REPORT_WANTS_TERMINAL };

struct report {
    enum report_kind kind;
    int value; /* a wait status, or an errno */
};

/* ---- children ---- */

/* Their PIDs with spaces between, or NULL where the kernel does not tell. */
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

/* The next PID of a list, and *at behind it; 0 at the end. */
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
 * Kills the children of this process that are not `spared`, and all below them: orphans of what
 * dies come up as children of whoever adopts them. False where the kernel does not tell of them.
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
        return; /* mintfs is dead, which the next read tells */
}

/*
 * The Python package names the interpreter that runs the tests, where PATH has none of that name, or
 * another. The builder does not inherit the variable.
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

/* Forks the builder; returns its pid, or -1 where it could not be run, which is reported. */
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

/* Takes the children that ended. Returns the builder's pid as long as it lives, else -1. */
static pid_t reap(int fd, pid_t builder)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
        if (pid != builder)
            continue;
        if (WIFSTOPPED(status)) {
            /* It asked for a terminal that it will never get. */
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
        if (n == 1 && order == ORDER_SPARE)
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

static void order(const struct builder *builder, int number)
{
    unsigned char byte = (unsigned char)number;
    if (send(builder->fd, &byte, sizeof(byte), MSG_NOSIGNAL) < 0)
        return; /* the guard is dead, which its end of the stream tells */
}

/* Returns what it was before. */
static bool set_reaper(bool on)
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
    AUTO_FREE char *others = list_children();
    bool is_reaper = set_reaper(true);
    /* Where a parent ignored it, the kernel would reap our children before we could ask. */
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
        (void)set_reaper(is_reaper);
        return spawn_log_error(error, "the builder");
    }
    *ret_builder = (struct builder){
        .guard = guard, .fd = ends[0], .others = steal_pointer(&others), .was_reaper = is_reaper};
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int judge(struct builder *builder, const char *program, const struct report *report,
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
    int64_t deadline = -1;
    struct pollfd waits[] = {{.fd = builder->fd, .events = POLLIN},
                             {.fd = interrupt_fd(), .events = POLLIN}};
    for (;;) {
        int count = interrupt_count();
        if (count > passed) {
            order(builder, count > 1 ? ORDER_KILL : interrupt_pending());
            deadline = now_ms() + GRACE_MS;
            passed = count;
            waits[1].fd = -1; /* stays readable; a further signal interrupts poll() */
        }
        int64_t left = deadline < 0 ? -1 : deadline - now_ms();
        if (deadline >= 0 && left <= 0)
            return -EINTR;
        int n = poll(waits, 2, (int)left);
        if (n <= 0 || !waits[0].revents)
            continue;
        struct report report;
        ssize_t size = recv(builder->fd, &report, sizeof(report), 0);
        if (interrupt_pending())
            return -EINTR;
        if (size != sizeof(report)) {
            /* Somebody killed the guard, and the kernel the builder with it; builder_end() the
             * rest. */
            builder->signal = SIGKILL;
            *ret_status = 128 + SIGKILL;
            return 0;
        }
        return judge(builder, program, &report, ret_status);
    }
}

void builder_end(struct builder *builder, bool spare)
{
    if (builder->fd < 0)
        return;
    /* What is spared is not to become ours when the guard goes. */
    if (spare)
        (void)set_reaper(builder->was_reaper);
    order(builder, spare ? ORDER_SPARE : ORDER_KILL);
    int status = 0;
    while (waitpid(builder->guard, &status, 0) < 0 && errno == EINTR)
        ;
    if (!spare) {
        if (WIFSIGNALED(status))
            (void)kill_children(builder->others);
        (void)set_reaper(builder->was_reaper);
    }
    free(builder->others);
    (void)close(builder->fd);
    *builder = (struct builder)BUILDER_INIT;
}
