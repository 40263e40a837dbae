#include "fs/mount/idle.h"

#include "fs/base/clock.h"
#include "fs/base/spawn.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/server.h"
#include "fs/overlay/scratch.h"

enum {
    /* How many times as long to wait while there are sessions without a lease. */
    UNLEASED_PATIENCE = 12,
    /* After an unmount that failed. */
    RETRY_NS = 1000 * 1000 * 1000,
    UNMOUNTED = -1,
};

struct idle_watch {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t mutex; /* innermost; guards the fields below */
    pthread_cond_t changed;
    bool woken;
    bool stopping;
};

struct sessions_found {
    bool leased;
    bool unleased;
};

static bool look_at_session(const struct session *session, void *context)
{
    struct sessions_found *found = context;
    struct session_lease lease;
    session_get_lease((struct session *)(uintptr_t)session, &lease);
    if (lease.owner.pid || lease.ends_ns)
        found->leased = true;
    else
        found->unleased = true;
    return true;
}

/* Unmounts if it is time. Returns how long to wait until the next try, or UNMOUNTED. */
static int64_t try_unmount(struct server *server)
{
    struct sessions_found found = {.leased = false};
    scratch_each(server->scratch, 0, look_at_session, &found);
    int64_t limit_s = server->options->idle_seconds;
    if (found.unleased)
        limit_s *= UNLEASED_PATIENCE;
    int64_t limit_ns = (limit_s < INT32_MAX ? limit_s : INT32_MAX) * NS_PER_S;
    int64_t used_ns = atomic_load(&server->used_ns);
    int64_t left_ns = used_ns + limit_ns - clock_monotonic_coarse_ns();
    if (left_ns > 0)
        return left_ns;
    if (found.leased)
        return limit_ns;
    /*
     * From now on a new session is refused; one made before has changed used_ns (session_dirs.c).
     */
    atomic_store(&server->leaving, true);
    if (atomic_load(&server->used_ns) == used_ns && atomic_load(&server->open_files) == 0 &&
        mountpoint_unmount(server->options->mount_point) == 0)
        return UNMOUNTED;
    atomic_store(&server->leaving, false);
    server_touch(server);
    return RETRY_NS;
}

static void await(struct idle_watch *watch, int64_t wait_ns)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&watch->mutex);
    struct timespec until = clock_monotonic_after(wait_ns);
    int r = 0;
    while (!watch->stopping && !watch->woken && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&watch->changed, &watch->mutex, &until);
    watch->woken = false;
}

static bool is_stopping(struct idle_watch *watch)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&watch->mutex);
    return watch->stopping;
}

static void *run(void *context)
{
    struct idle_watch *watch = context;
    while (!is_stopping(watch)) {
        int64_t wait_ns = try_unmount(watch->server);
        if (wait_ns == UNMOUNTED)
            break;
        await(watch, wait_ns);
    }
    return NULL;
}

int idle_start(struct server *server)
{
    if (!server->options->idle_seconds)
        return 0;
    struct idle_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    watch->server = server;
    pthread_mutex_init(&watch->mutex, NULL);
    clock_init_condition(&watch->changed);
    int r = spawn_thread(&watch->thread, run, watch);
    if (r < 0) {
        free(watch);
        return r;
    }
    server->idle_watch = watch;
    return 0;
}

void idle_stop(struct server *server)
{
    struct idle_watch *watch = server->idle_watch;
    if (!watch)
        return;
    (void)pthread_mutex_lock(&watch->mutex);
    watch->stopping = true;
    (void)pthread_cond_signal(&watch->changed);
    (void)pthread_mutex_unlock(&watch->mutex);
    (void)pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
    server->idle_watch = NULL;
}

void idle_wake(struct server *server)
{
    struct idle_watch *watch = server->idle_watch;
    if (!watch)
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&watch->mutex);
    watch->woken = true;
    (void)pthread_cond_signal(&watch->changed);
}
