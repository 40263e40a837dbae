/*
 * The scratch's own thread: what would be slow in a request is done here.
 */
#include <time.h>

#include "fs/base/spawn.h"
#include "fs/overlay/scratch_internal.h"
#include "fs/overlay/session_log.h"

enum { IDLE_SECONDS = 1 };

void scratch_wake(struct scratch *scratch)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->work_mutex);
    if (scratch->wanted)
        return;
    scratch->wanted = true;
    (void)pthread_cond_signal(&scratch->work_wanted);
}

/* Waits until something is wanted; false when it is time to go. */
static bool await_work(struct scratch *scratch)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->work_mutex);
    while (!scratch->wanted && !scratch->stopping)
        (void)pthread_cond_wait(&scratch->work_wanted, &scratch->work_mutex);
    scratch->wanted = false;
    return !scratch->stopping;
}

/* Templates rest only after a while without sessions: true unless the daemon stops before. */
static bool await_idleness(struct scratch *scratch)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->work_mutex);
    int r = 0;
    while (!scratch->stopping && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&scratch->work_wanted, &scratch->work_mutex, &until);
    return !scratch->stopping;
}

/* As long as it takes, but not beyond the daemon's end. */
static void trim(struct scratch *scratch)
{
    if (blocks_wants_trim(scratch->blocks))
        blocks_trim(scratch->blocks, INT64_MAX / 2, &scratch->closing);
}

static void *work(void *context)
{
    struct scratch *scratch = context;
    while (await_work(scratch)) {
        trim(scratch);
        session_list_refill_reserve(&scratch->all);
        if (await_idleness(scratch)) {
            scratch_drop_lowers(scratch, false);
            trim(scratch);
        }
    }
    return NULL;
}

int scratch_start_worker(struct scratch *scratch)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&scratch->work_wanted, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = spawn_thread(&scratch->worker, work, scratch);
    scratch->worker_runs = r == 0;
    return r;
}

void scratch_stop_worker(struct scratch *scratch)
{
    if (!scratch->worker_runs)
        return;
    atomic_store(&scratch->closing, true);
    (void)pthread_mutex_lock(&scratch->work_mutex);
    scratch->stopping = true;
    (void)pthread_cond_signal(&scratch->work_wanted);
    (void)pthread_mutex_unlock(&scratch->work_mutex);
    (void)pthread_join(scratch->worker, NULL);
    (void)pthread_cond_destroy(&scratch->work_wanted);
}
