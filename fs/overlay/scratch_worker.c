#include "fs/overlay/scratch_worker.h"

#include "fs/base/clock.h"
#include "fs/base/spawn.h"
#include "fs/overlay/session_log.h"

enum { IDLE_SECONDS = 1 };

void scratch_worker_wake(struct scratch_worker *worker)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&worker->mutex);
    if (worker->wanted)
        return;
    worker->wanted = true;
    (void)pthread_cond_signal(&worker->changed);
}

/* Waits for work; false when the thread must end. */
static bool await_work(struct scratch_worker *worker)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&worker->mutex);
    while (!worker->wanted && !worker->stopping)
        (void)pthread_cond_wait(&worker->changed, &worker->mutex);
    worker->wanted = false;
    return !worker->stopping;
}

/*
 * Waits before unused templates are closed, since the next session often follows soon. False when
 * the thread must end.
 */
static bool await_idleness(struct scratch_worker *worker)
{
    struct timespec until = clock_monotonic_after(IDLE_SECONDS * NS_PER_S);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&worker->mutex);
    int r = 0;
    while (!worker->stopping && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
    return !worker->stopping;
}

/* Has no time limit, but stops when the daemon ends. */
static void trim(struct scratch_worker *worker)
{
    if (blocks_wants_trim(worker->blocks))
        blocks_trim(worker->blocks, INT64_MAX / 2, &worker->closing);
}

static void *work(void *context)
{
    struct scratch_worker *worker = context;
    while (await_work(worker)) {
        trim(worker);
        session_list_refill_reserve(worker->list);
        if (await_idleness(worker)) {
            lower_cache_drop_unused(worker->lowers);
            trim(worker);
        }
    }
    return NULL;
}

int scratch_worker_start(struct scratch_worker *worker, struct blocks *blocks,
                         struct session_list *list, struct lower_cache *lowers)
{
    worker->blocks = blocks;
    worker->list = list;
    worker->lowers = lowers;
    pthread_mutex_init(&worker->mutex, NULL);
    clock_init_condition(&worker->changed);
    int r = spawn_thread(&worker->thread, work, worker);
    worker->runs = r == 0;
    return r;
}

void scratch_worker_stop(struct scratch_worker *worker)
{
    if (!worker->runs)
        return;
    atomic_store(&worker->closing, true);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->stopping = true;
    (void)pthread_cond_signal(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
    (void)pthread_join(worker->thread, NULL);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->mutex);
}
