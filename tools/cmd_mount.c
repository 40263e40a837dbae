/*
 * mintfs mount: serves the store at MNT. Returns when the mount answers, and prints MNT.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/base/units.h"
#include "fs/client/daemon_control.h"
#include "fs/mount/limits.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/serve.h"
#include "tools/command.h"

static const struct option options[] = {
    {"scratch", required_argument, NULL, 's'}, {"foreground", no_argument, NULL, 'f'},
    {"options", required_argument, NULL, 'o'}, {"replace", no_argument, NULL, 'r'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

struct mount_request {
    struct serve_options serve;
    bool foreground;
    bool replace;
    const char *place; /* as typed, or NULL */
    char *mount_point; /* resolved, owned */
    int told;          /* whether the place could be printed: an exit status */
    char *scratch;     /* absolute, owned: the daemon works in another directory */
    /* One start at a time: whoever comes second finds the mount ready. */
    struct lock starting;
};

static void request_fini(struct mount_request *request)
{
    lock_release(&request->starting);
    free(request->mount_point);
    free(request->scratch);
}

static int set_scratch(struct mount_request *request, const char *typed)
{
    AUTO_FREE char *here = *typed && *typed != '/' ? getcwd(NULL, 0) : NULL;
    free(request->scratch);
    if (asprintf(&request->scratch, "%s%s%s", here ? here : "", here ? "/" : "", typed) < 0) {
        request->scratch = NULL;
        return EXIT_FAILED;
    }
    request->serve.scratch = request->scratch;
    return EXIT_DONE;
}

/* One of `-o a,b=c`. */
static int read_mount_option(char *text, struct serve_options *serve)
{
    char *value = strchr(text, '=');
    if (value)
        *value++ = '\0';
    uint64_t number = 0;
    if (!strcmp(text, "allow_other") && !value) {
        serve->allow_other = true;
    } else if (!strcmp(text, "strict") && !value) {
        serve->strict = true;
    } else if (!strcmp(text, "no_io_uring") && !value) {
        serve->no_uring = true;
    } else if (!strcmp(text, "grace") && value) {
        if (units_parse_number(value, &number) < 0 || number > 86400)
            return command_usage("mount", "grace is a number of seconds, not \"%s\"", value);
        serve->grace_seconds = (unsigned)number;
    } else if (!strcmp(text, "idle") && value) {
        if (units_parse_duration(value, &number) < 0 || number > INT32_MAX)
            return command_usage("mount", "idle is a time such as 10m, not \"%s\"", value);
        serve->idle_seconds = (unsigned)number;
    } else if ((!strcmp(text, "session_limit") || !strcmp(text, "limit")) && value) {
        if (units_parse_size(value, &number) < 0 || number == 0)
            return command_usage("mount", "%s is a size such as 64M, not \"%s\"", text, value);
        *(text[0] == 's' ? &serve->session_limit_bytes : &serve->limit_bytes) = number;
        serve->strict = true;
    } else {
        return command_usage("mount",
                             "unknown mount option \"%s\"; there are allow_other, strict, "
                             "no_io_uring, grace=SECONDS, idle=TIME, limit=SIZE, "
                             "session_limit=SIZE",
                             text);
    }
    return EXIT_DONE;
}

static int read_mount_options(char *text, struct serve_options *serve)
{
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        int status = read_mount_option(part, serve);
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_arguments(int argc, char **argv, struct mount_request *request)
{
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":fo:h", options, NULL)) >= 0;) {
        int status = EXIT_DONE;
        switch (option) {
        case 's':
            status = set_scratch(request, optarg);
            break;
        case 'f':
            request->foreground = true;
            break;
        case 'o':
            status = read_mount_options(optarg, &request->serve);
            break;
        case 'r':
            request->replace = true;
            break;
        case 'h':
            return -1;
        case ':':
            return command_usage(argv[0], "%s wants a value", argv[optind - 1]);
        default:
            return command_bad_option(argv[0], "", argv);
        }
        if (status != EXIT_DONE)
            return status;
    }
    if (argc - optind > 1)
        return command_usage(argv[0], "takes one mount point, not also %s", argv[optind + 1]);
    request->place = optind < argc ? argv[optind] : NULL;
    return EXIT_DONE;
}

/*
 * Takes the lock of daemon_lock_start(). That a store is mounted already is reported before
 * anything about the place; with --replace its daemon is ended first, and the new one takes its
 * place if none is named.
 */
static int make_store_free(const struct store *store, struct mount_request *request)
{
    for (;;) {
        AUTO_SERVE_FOUND struct serve_found found = {0};
        int r = daemon_claim(store, &request->starting, &found);
        if (r <= 0)
            return r;
        if (!request->replace) {
            bool other = strcmp(found.version, MINTFS_VERSION) != 0;
            return log_fail(EWOULDBLOCK, "the store %s is mounted at %s already (process %d%s%s)%s",
                            store->path, found.mount_point, found.pid, other ? ", mintfs " : "",
                            other ? found.version : "",
                            other ? "; mintfs mount --replace starts this version" : "");
        }
        /* Its end may take a while, and others need not wait for it with us. */
        lock_release(&request->starting);
        r = daemon_take_away(store, found.mount_point);
        if (r < 0 && r != -ENOENT)
            return r;
        if (!request->place && !request->mount_point &&
            !(request->mount_point = strdup(found.mount_point)))
            return -ENOMEM;
    }
}

/* ---- in the foreground ---- */

static void print_place(void *context)
{
    struct mount_request *request = context;
    lock_release(&request->starting);
    printf("%s\n", request->mount_point);
    request->told = command_flush();
    /* A mount that nobody learns of ends again. */
    if (request->told != EXIT_DONE && kill(getpid(), SIGTERM) < 0)
        log_warning("the mount at %s stays", request->mount_point);
}

/* ---- as a daemon ---- */

struct report {
    int fd; /* the starter waits at its other end */
};

static int detach(void)
{
    AUTO_FD int null = io_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (null < 0)
        return null;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    return 0;
}

/* The mount answers: the starter may go, and from now on nobody reads what we say but syslog. */
static void report_ready(void *context)
{
    struct report *report = context;
    log_to_syslog();
    if (detach() < 0)
        log_warning("cannot open /dev/null: standard error stays open");
    if (write(report->fd, "", 1) != 1)
        log_warning("nobody waits for the mount");
    (void)close(report->fd);
    report->fd = -1;
}

/* What the starter ignored or blocked, as a shell's trap '' TERM does, does not hold here. */
static void reset_signals(void)
{
    static const int asking[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t none;
    for (size_t i = 0; i < ARRAY_LENGTH(asking); i++)
        (void)signal(asking[i], SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int run_daemon(const struct store *store, const struct mount_request *request, int fd)
{
    struct report report = {.fd = fd};
    reset_signals();
    limits_take_own_priority();
    /* No terminal, no directory; standard input and output go at once, errors when all is well. */
    if (setsid() < 0 || chdir("/") < 0)
        return command_status(log_errno(errno, "cannot become a daemon"));
    AUTO_FD int null = io_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return command_status(log_errno(errno, "cannot open /dev/null"));
    return command_status(serve(store, &request->serve, report_ready, &report));
}

static int await_daemon(pid_t pid, int fd, const struct mount_request *request)
{
    char byte;
    ssize_t n;
    int status;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1) {
        /* A mount that nobody learns of ends again. */
        (void)signal(SIGPIPE, SIG_IGN);
        printf("%s\n", request->mount_point);
        int told = command_flush();
        if (told != EXIT_DONE && (kill(pid, SIGTERM) < 0 || waitpid(pid, &status, 0) != pid))
            log_warning("the mount at %s stays", request->mount_point);
        return told;
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 0) {
        log_error("the daemon ended before the mount at %s answered", request->mount_point);
        return EXIT_FAILED;
    }
    return WEXITSTATUS(status); /* it has said why */
}

static int start_daemon(const struct store *store, struct mount_request *request)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return command_status(log_errno(errno, "cannot make a pipe"));
    AUTO_FD int read_end = ends[0];
    AUTO_FD int write_end = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return command_status(spawn_log_error(errno, "the daemon"));
    if (pid == 0) {
        (void)close(steal_fd(&read_end));
        lock_forget(&request->starting); /* the starter's */
        int status = run_daemon(store, request, steal_fd(&write_end));
        /* As main() would: what is held is freed, so that a leak checker has nothing to say. */
        store_close((struct store *)(uintptr_t)store);
        free(request->mount_point);
        exit(status);
    }
    (void)close(steal_fd(&write_end));
    return await_daemon(pid, read_end, request);
}

static int find_place(struct mount_request *request)
{
    int r = 0;
    if (request->place)
        r = mountpoint_resolve(request->place, &request->mount_point);
    else if (!request->mount_point)
        r = mountpoint_default(&request->mount_point);
    request->serve.mount_point = request->mount_point;
    return r;
}

/* The request goes before the store, below whose directory its lock lies. */
int cmd_mount(int argc, char **argv)
{
    AUTO_STORE struct store *store = NULL;
    CLEANUP(request_fini)
    struct mount_request request = {.serve = {.grace_seconds = SERVE_GRACE_SECONDS},
                                    .starting = LOCK_INIT};
    int status = read_arguments(argc, argv, &request);
    if (status != EXIT_DONE)
        return status < 0 ? command_help(argv[0]) : status;
    /* What the caller had open is none of the daemon's business. */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    limits_raise_open_files();
    if (getenv("MINTFS_BUILDING")) {
        log_error("a mount that a builder starts would end with it: mount before the build");
        return EXIT_FAILED;
    }
    int r = store_open(&store);
    if (r == 0)
        r = make_store_free(store, &request);
    if (r == 0)
        r = find_place(&request);
    if (r == 0)
        r = mountpoint_prepare(store, request.mount_point);
    if (r < 0)
        return command_status(r);
    if (!request.foreground)
        return start_daemon(store, &request);
    status = command_status(serve(store, &request.serve, print_place, &request));
    return status == EXIT_DONE ? request.told : status;
}
