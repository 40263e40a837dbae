#include "fs/mount/serve.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/mount/limits.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/server.h"
#include "fs/store/catalog.h"

static const char lock_name[] = "mount";

enum {
    /* Ends a wait of the threads here; it does nothing else. */
    SIGNAL_WAKE = SIGUSR1,
    RETRY_NS = 100 * 1000 * 1000,
};

/* ---- what libfuse says ---- */

/* Its last complaint: shown if the mount fails, else of no interest (a fallback from io_uring). */
static char last_complaint[256];

PRINTF_LIKE(2, 0)
static void note_complaint(enum fuse_log_level level, const char *format, va_list arguments)
{
    if (level > FUSE_LOG_WARNING)
        return;
    (void)vsnprintf(last_complaint, sizeof(last_complaint), format, arguments);
    last_complaint[strcspn(last_complaint, "\n")] = '\0';
}

/* ---- stopping ---- */

struct controller {
    struct server *server;
    pthread_t thread;
    pthread_t loop;
    void (*ready)(void *context);
    void *context;
};

static struct timespec time_from_now(int64_t ns)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t sum = time.tv_nsec + ns;
    time.tv_sec += sum / 1000000000;
    time.tv_nsec = sum % 1000000000;
    return time;
}

static bool is_past(const struct timespec *time)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > time->tv_sec ||
           (now.tv_sec == time->tv_sec && now.tv_nsec >= time->tv_nsec);
}

/* Until all files are closed or the loop has ended, at the longest until then. */
static void await_closed(struct server *server, const struct timespec *until)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&server->mutex);
    while (!server->ended && atomic_load(&server->open_files) > 0 &&
           pthread_cond_timedwait(&server->changed, &server->mutex, until) != ETIMEDOUT)
        continue;
}

static bool has_ended(struct server *server, int64_t wait_ns)
{
    struct timespec until = time_from_now(wait_ns);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&server->mutex);
    while (!server->ended &&
           pthread_cond_timedwait(&server->changed, &server->mutex, &until) != ETIMEDOUT)
        continue;
    return server->ended;
}

/* Dirty pages of files that are still open are sent while there is somebody to take them. */
static void push_dirty_pages(struct server *server)
{
    AUTO_FD int fd = open(server->options->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return;
    /* syncfs(2) does not wait for WRITEs on their way: go on until none has come for a while. */
    uint64_t before = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        uint64_t now = atomic_load(&server->requests[REQUEST_WRITE]);
        if (now == before || has_ended(server, RETRY_NS))
            return;
        before = now;
    }
}

/* Files stay open beyond their time: the mount goes away beneath them, and that is said. */
static void say_what_is_lost(struct server *server)
{
    AUTO_FREE char *users = mountpoint_users(server->options->mount_point);
    push_dirty_pages(server);
    log_warning("%s goes while in use%s%s: what is written to it from now on is lost",
                server->options->mount_point, users ? " by " : "", users ? users : "");
}

/*
 * The connection lasts while a file is open: the loop is told to end. Then fuse_session_unmount()
 * detaches the mount; were that done here already, it would complain on standard error.
 */
static void end_loop(struct controller *controller)
{
    struct server *server = controller->server;
    fuse_session_exit(server->fuse);
    do
        (void)pthread_kill(controller->loop, SIGNAL_WAKE);
    while (!has_ended(server, RETRY_NS));
}

static void stop(struct controller *controller)
{
    struct server *server = controller->server;
    atomic_store(&server->stopping, true);
    struct timespec until = time_from_now((int64_t)server->options->grace_seconds * 1000000000);
    await_closed(server, &until);
    /* A working directory or a mapping keeps it busy too. */
    int r = -EBUSY;
    do {
        if (r == -EBUSY)
            r = mountpoint_unmount(server->options->mount_point, false);
        if (has_ended(server, RETRY_NS))
            return;
    } while (!is_past(&until) && (r == 0 || r == -EBUSY));
    server->is_unmounted = r == 0 || mountpoint_state(server->options->mount_point) != MOUNT_OURS;
    if (!server->is_unmounted)
        say_what_is_lost(server);
    end_loop(controller);
}

/* What the controller waits for; SIGXCPU comes some time before the kernel ends the process. */
static void fill_signals(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGHUP);
    sigaddset(ret_signals, SIGXCPU);
    sigaddset(ret_signals, SIGNAL_WAKE);
}

static void *control(void *context)
{
    struct controller *controller = context;
    struct server *server = controller->server;
    (void)pthread_mutex_lock(&server->mutex);
    while (!server->ready && !server->ended)
        (void)pthread_cond_wait(&server->changed, &server->mutex);
    bool ended = server->ended;
    (void)pthread_mutex_unlock(&server->mutex);
    if (ended)
        return NULL;
    controller->ready(controller->context);
    sigset_t signals;
    fill_signals(&signals);
    int signal;
    while (sigwait(&signals, &signal) == 0 && !has_ended(server, 0))
        if (signal != SIGNAL_WAKE) {
            if (signal == SIGXCPU)
                log_warning("%s ends: the daemon has used the CPU time that it may have (ulimit "
                            "-t); run mintfs mount where that limit is not set",
                            server->options->mount_point);
            stop(controller);
            break;
        }
    return NULL;
}

static void do_nothing(int signal UNUSED)
{
}

/* All signals that matter are taken by the controller's thread; the loop may only be woken. */
static void set_up_signals(void)
{
    struct sigaction wake = {.sa_handler = do_nothing};
    (void)sigaction(SIGNAL_WAKE, &wake, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    fill_signals(&blocked);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

static void allow_wake(void)
{
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, SIGNAL_WAKE);
    (void)pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
}

/* ---- the store's lock ---- */

int serve_find(const struct store *store, struct serve_found *ret_found)
{
    char text[PATH_MAX + 64];
    int r = lock_holder(store->locks_fd, lock_name, text, sizeof(text));
    if (r <= 0)
        return r;
    struct serve_found found = {0};
    char *version = strchr(text, '\n');
    char *path = version ? strchr(version + 1, '\n') : NULL;
    char *end = path ? strchr(path + 1, '\0') : NULL;
    if (!end || end[-1] != '\n')
        return 0; /* it has only begun */
    end[-1] = '\0';
    found.pid = atoi(text);
    (void)snprintf(found.version, sizeof(found.version), "%.*s", (int)(path - version - 1),
                   version + 1);
    found.mount_point = strdup(path + 1);
    if (!found.mount_point)
        return -ENOMEM;
    *ret_found = found;
    return 1;
}

void serve_found_fini(struct serve_found *found)
{
    free(found->mount_point);
    found->mount_point = NULL;
}

static int take_store(struct lock *lock, const struct store *store,
                      const struct serve_options *options)
{
    int r = lock_take(lock, store->locks_fd, lock_name, LOCK_EXCLUSIVE, false);
    if (r == -EWOULDBLOCK) {
        AUTO_SERVE_FOUND struct serve_found found = {0};
        if (serve_find(store, &found) == 1)
            return log_fail(EWOULDBLOCK, "the store %s is mounted at %s already (process %d)",
                            store->path, found.mount_point, found.pid);
        return log_fail(EWOULDBLOCK, "the store %s is being mounted by another process",
                        store->path);
    }
    if (r < 0)
        return log_errno(r, "cannot lock the store %s", store->path);
    AUTO_FREE char *text = NULL;
    if (asprintf(&text, "%d\n%s\n%s\n", (int)getpid(), MINTFS_VERSION, options->mount_point) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    r = lock_describe(lock, text);
    if (r == 0)
        r = lock_sweep(store->locks_fd);
    return r < 0 ? log_errno(r, "cannot write to %s/v1/locks", store->path) : 0;
}

/* ---- serving ---- */

static int open_session(struct server *server)
{
    const struct serve_options *options = server->options;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    AUTO_FREE char *text = NULL;
    bool uring = false;
#ifdef HAVE_FUSE_URING
    uring = !options->no_uring;
#endif
    if (asprintf(&text, "fsname=mintfs,subtype=mintfs,nosuid,nodev%s%s",
                 options->allow_other ? ",allow_other,default_permissions" : "",
                 uring ? ",io_uring" : "") < 0) {
        text = NULL;
        return -ENOMEM;
    }
    if (fuse_opt_add_arg(&args, "mintfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
        fuse_opt_add_arg(&args, text) == 0)
        server->fuse =
            fuse_session_new(&args, &server_operations, sizeof(server_operations), server);
    fuse_opt_free_args(&args);
    if (!server->fuse)
        return log_fail(EIO, "cannot begin a FUSE session: %s", last_complaint);
    if (fuse_session_mount(server->fuse, options->mount_point) != 0)
        return log_fail(EIO, "cannot mount at %s: %s", options->mount_point,
                        last_complaint[0] ? last_complaint
                                          : "fusermount3 refused, for the reason above");
    return 0;
}

static int run_loop(struct server *server)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config)
        return -ENOMEM;
    allow_wake();
    /* Positive where a signal ended it, which is as good an end as an unmount. */
    int r = fuse_session_loop_mt(server->fuse, config);
    fuse_loop_cfg_destroy(config);
    /* Root switched enable_uring off between the kernel's offer and our rings: the kernel came
     * through /dev/fuse then, and libfuse tells of its rings only at the end. */
    if (r == -EOPNOTSUPP && !server->options->no_uring)
        r = 0;
    if (r >= 0)
        return 0;
    /* libfuse reports a thread that cannot be started by a line of its own and -1. */
    if (last_complaint[0])
        return log_fail(EIO, "the mount at %s failed: %s", server->options->mount_point,
                        last_complaint);
    return log_errno(r, "the mount at %s failed", server->options->mount_point);
}

/*
 * Detaches what is still mounted. Where the mount is gone but its connection lives, in another mount
 * namespace, libfuse would unmount once more and complain on standard error, unless its descriptor
 * looks like that of a dead connection: as a pipe's does that nobody reads.
 */
static void end_session(struct server *server)
{
    int ends[2];
    if (server->is_unmounted && pipe2(ends, O_CLOEXEC) == 0) {
        (void)close(ends[0]);
        (void)dup2(ends[1], fuse_session_fd(server->fuse));
        (void)close(ends[1]);
    }
    fuse_session_unmount(server->fuse);
}

static int start_and_loop(struct server *server, struct controller *controller)
{
    int r = open_session(server);
    if (r < 0)
        return r;
    r = notifier_start(server);
    if (r == 0)
        r = lease_keeper_start(server);
    if (r == 0) {
        controller->loop = pthread_self();
        r = spawn_thread(&controller->thread, control, controller);
        if (r == 0) {
            r = run_loop(server);
            (void)pthread_mutex_lock(&server->mutex);
            server->ended = true;
            (void)pthread_cond_broadcast(&server->changed);
            (void)pthread_mutex_unlock(&server->mutex);
            (void)pthread_kill(controller->thread, SIGNAL_WAKE);
            (void)pthread_join(controller->thread, NULL);
        }
    }
    lease_keeper_stop(server);
    notifier_stop(server);
    end_session(server);
    return r;
}

static void init_server(struct server *server)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&server->mutex, NULL);
}

static int open_parts(struct server *server, const struct store *store)
{
    const struct serve_options *options = server->options;
    struct scratch_options scratch_options = {
        .place = options->scratch,
        .session_limit_bytes = options->session_limit_bytes,
        .limit_bytes = options->limit_bytes,
        .name_lost = notifier_lose_name,
        .context = server,
    };
    int r = scratch_open(store, &scratch_options, &server->scratch);
    if (r < 0)
        return r;
    struct tree_options tree_options = {
        .store = store,
        .scratch = server->scratch,
        .uid = geteuid(),
        .gid = getegid(),
        .shared = options->allow_other,
    };
    return tree_new(&tree_options, &server->tree);
}

/* For `mintfs stats`; what a killed daemon did is not counted. */
static void count_use(struct server *server, const struct store *store)
{
    struct scratch_counts counts = {0};
    uint64_t requests = 0;
    if (server->scratch)
        scratch_count(server->scratch, &counts);
    for (size_t i = 0; i < ARRAY_LENGTH(server->requests); i++)
        requests += atomic_load(&server->requests[i]);
    if (catalog_count_use(store->catalog, counts.sessions_made, requests) < 0)
        log_warning("the use of this mount is not counted");
}

int serve(const struct store *store, const struct serve_options *options,
          void (*ready)(void *context), void *context)
{
    struct server server = {.options = options};
    struct controller controller = {.server = &server, .ready = ready, .context = context};
    AUTO_LOCK struct lock lock = LOCK_INIT;
    fuse_set_log_func(note_complaint);
    set_up_signals();
    int r = limits_take_own();
    if (r == 0)
        r = take_store(&lock, store, options);
    if (r < 0)
        return r;
    init_server(&server);
    server_touch(&server);
    r = open_parts(&server, store);
    if (r == 0)
        r = start_and_loop(&server, &controller);
    if (server.fuse)
        fuse_session_destroy(server.fuse);
    tree_free(server.tree);
    count_use(&server, store);
    scratch_close(server.scratch);
    pthread_mutex_destroy(&server.mutex);
    pthread_cond_destroy(&server.changed);
    return r;
}
