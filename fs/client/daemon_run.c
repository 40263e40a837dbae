#include "fs/client/daemon_run.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/client/daemon_control.h"
#include "fs/mount/limits.h"
#include "fs/mount/mountpoint.h"
#include "fs/store/store_open.h"

struct run {
    struct store *store;
    struct serve_options serve;
    char *mount_point; /* owned */
    /* Held until the mount answers: processes that start one wait, and then find this one ready. */
    struct lock starting;
    daemon_ready *ready;
    void *context;
    int ready_error; /* what ready() returned */
};

static void run_fini(struct run *run)
{
    lock_release(&run->starting);
    free(run->mount_point);
}

/*
 * Takes the start lock of a store without a daemon. That the store is mounted already is reported
 * before any error about the mount point.
 */
static int claim_store(struct run *run, const struct daemon_request *request)
{
    for (;;) {
        AUTO_SERVE_FOUND struct serve_found found = {0};
        int r = daemon_claim(run->store, &run->starting, &found);
        if (r <= 0)
            return r;
        if (!request->replaces) {
            bool other = strcmp(found.version, MINTFS_VERSION) != 0;
            return log_fail(EWOULDBLOCK, "the store %s is mounted at %s already (process %d%s%s)%s",
                            run->store->path, found.mount_point, found.pid,
                            other ? ", mintfs " : "", other ? found.version : "",
                            other ? "; mintfs mount --replace starts this version" : "");
        }
        /* The daemon may take a while to end; other processes need not wait for the lock
         * meanwhile. */
        lock_release(&run->starting);
        r = daemon_stop(run->store, found.mount_point);
        if (r < 0 && r != -ENOENT)
            return r;
        if (!request->place && !run->mount_point)
            run->mount_point = steal_pointer(&found.mount_point);
    }
}

static int prepare_place(struct run *run, const char *typed)
{
    int r = 0;
    if (typed)
        r = mountpoint_resolve(typed, &run->mount_point);
    else if (!run->mount_point)
        r = mountpoint_default(&run->mount_point);
    run->serve.mount_point = run->mount_point;
    return r < 0 ? r : mountpoint_prepare(run->store, run->mount_point);
}

/* ---- in the foreground ---- */

static void report_ready(void *context)
{
    struct run *run = context;
    lock_release(&run->starting);
    run->ready_error = run->ready(run->mount_point, run->context);
    if (run->ready_error < 0 && kill(getpid(), SIGTERM) < 0)
        log_warning("the mount at %s stays", run->mount_point);
}

static int serve_here(struct run *run)
{
    int r = serve(run->store, &run->serve, report_ready, run);
    return r < 0 ? r : run->ready_error;
}

/* ---- in a daemon ---- */

static int redirect_to_null(int first_fd, int last_fd)
{
    AUTO_FD int null = io_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (null < 0)
        return null;
    for (int fd = first_fd; fd <= last_fd; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    return 0;
}

/* From now on nobody reads standard error. A byte in the pipe tells the starter to return. */
static void release_starter(void *context)
{
    int *pipe_fd = context;
    log_to_syslog();
    if (redirect_to_null(STDIN_FILENO, STDERR_FILENO) < 0)
        log_warning("cannot open /dev/null: standard error stays open");
    if (write(*pipe_fd, "", 1) != 1)
        log_warning("nobody waits for the mount");
    (void)close(steal_fd(pipe_fd));
}

/* The starter may ignore or block signals, as after trap '' TERM in a shell. */
static void reset_signals(void)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t none;
    for (size_t i = 0; i < ARRAY_LENGTH(stops); i++)
        (void)signal(stops[i], SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Standard error stays that of the starter until the mount answers, for messages about failure. */
static int serve_as_daemon(struct run *run, int pipe_fd)
{
    reset_signals();
    limits_take_own_priority();
    if (setsid() < 0 || chdir("/") < 0)
        return log_errno(errno, "cannot become a daemon");
    int r = redirect_to_null(STDIN_FILENO, STDOUT_FILENO);
    if (r < 0)
        return log_errno(r, "cannot open /dev/null");
    return serve(run->store, &run->serve, release_starter, &pipe_fd);
}

static int await_daemon(const struct run *run, pid_t pid, int pipe_fd)
{
    char byte;
    ssize_t n;
    int status;
    do
        n = read(pipe_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1) {
        (void)signal(SIGPIPE, SIG_IGN);
        int r = run->ready(run->mount_point, run->context);
        if (r < 0 && (kill(pid, SIGTERM) < 0 || waitpid(pid, &status, 0) != pid))
            log_warning("the mount at %s stays", run->mount_point);
        return r;
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
        return log_fail(EIO, "the daemon ended before the mount at %s answered", run->mount_point);
    return -WEXITSTATUS(status); /* logged */
}

static int start_daemon(struct run *run)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return log_errno(errno, "cannot make a pipe");
    AUTO_FD int read_end = ends[0];
    AUTO_FD int write_end = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return spawn_log_error(errno, "the daemon");
    if (pid == 0) {
        (void)close(steal_fd(&read_end));
        lock_forget(&run->starting); /* the starter's */
        int r = serve_as_daemon(run, steal_fd(&write_end));
        /* Freed for leak checkers, since this frame is not left. */
        store_close(run->store);
        free(run->mount_point);
        exit(-r); /* the errno, for await_daemon() */
    }
    (void)close(steal_fd(&write_end));
    return await_daemon(run, pid, read_end);
}

int daemon_run(struct store *store, const struct daemon_request *request, daemon_ready *ready,
               void *context)
{
    CLEANUP(run_fini)
    struct run run = {.store = store,
                      .serve = request->serve,
                      .starting = LOCK_INIT,
                      .ready = ready,
                      .context = context};
    int r = claim_store(&run, request);
    if (r == 0)
        r = prepare_place(&run, request->place);
    if (r < 0)
        return r;
    return request->foreground ? serve_here(&run) : start_daemon(&run);
}
