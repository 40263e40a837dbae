#include "fs/mount/verifier.h"

#include <sys/queue.h>

#include "fs/base/clock.h"
#include "fs/base/spawn.h"

enum {
    /* libfuse starts at most ten threads for /dev/fuse. */
    DEVICE_WAITERS_MAX = 4,
    DEVICE_WAIT_MS = 10 * 1000,
    URING_WAITERS_MAX = 1,
    URING_WAIT_MS = 100,
    URING_TEMPLATE_MAX_BYTES = 64 << 20,
    /* Templates that wait for their turn, or whose damage no request has asked for yet. */
    LISTED_MAX = 64,
};

struct verification {
    TAILQ_ENTRY(verification) next;
    struct lower *lower; /* referenced */
    unsigned waiters;
    bool done;
    int result; /* when done */
};
TAILQ_HEAD(verifications, verification);

struct verifier {
    struct server *server;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex; /* innermost; guards the fields below, and changes of `stopping` */
    pthread_cond_t wanted;
    pthread_cond_t finished;
    struct verifications listed; /* in the order of arrival */
    unsigned listed_count;
    unsigned device_waiters;
    unsigned uring_waiters;
};

/* ---- the list; the caller holds the mutex ---- */

static struct verification *find(struct verifier *verifier, const struct lower *lower)
{
    struct verification *verification;
    TAILQ_FOREACH(verification, &verifier->listed, next)
    if (verification->lower == lower)
        return verification;
    return NULL;
}

static struct verification *find_undone(struct verifier *verifier)
{
    struct verification *verification;
    TAILQ_FOREACH(verification, &verifier->listed, next)
    if (!verification->done)
        return verification;
    return NULL;
}

static void drop(struct verifier *verifier, struct verification *verification)
{
    TAILQ_REMOVE(&verifier->listed, verification, next);
    verifier->listed_count--;
    lower_unref(verification->lower);
    free(verification);
}

/* Makes room for one more: forgets the oldest damage that no request waits for. */
static bool make_room(struct verifier *verifier)
{
    if (verifier->listed_count < LISTED_MAX)
        return true;
    struct verification *verification;
    TAILQ_FOREACH(verification, &verifier->listed, next)
    if (verification->done && verification->waiters == 0) {
        drop(verifier, verification);
        return true;
    }
    return false;
}

static struct verification *enlist(struct verifier *verifier, struct lower *lower)
{
    struct verification *verification =
        make_room(verifier) ? calloc(1, sizeof(*verification)) : NULL;
    if (!verification)
        return NULL;
    verification->lower = lower_ref(lower);
    TAILQ_INSERT_TAIL(&verifier->listed, verification, next);
    verifier->listed_count++;
    (void)pthread_cond_signal(&verifier->wanted);
    return verification;
}

/* ---- the thread ---- */

static int verify(struct verifier *verifier, struct lower *lower)
{
    int r = lower_verify(lower, &verifier->stopping);
    /* It was evicted while it was read: it is not damaged. */
    return r < 0 && r != -ECANCELED && !lower_is_current(lower) ? -ENOENT : r;
}

static void *run(void *context)
{
    struct verifier *verifier = context;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&verifier->mutex);
    while (!atomic_load(&verifier->stopping)) {
        struct verification *verification = find_undone(verifier);
        if (!verification) {
            (void)pthread_cond_wait(&verifier->wanted, &verifier->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&verifier->mutex);
        int result = verify(verifier, verification->lower);
        (void)pthread_mutex_lock(&verifier->mutex);
        verification->done = true;
        verification->result = result;
        (void)pthread_cond_broadcast(&verifier->finished);
        /* A verified template is marked as such; damage is kept for the next request. */
        if (result == 0 && verification->waiters == 0)
            drop(verifier, verification);
    }
    return NULL;
}

/* ---- requests ---- */

struct wait_policy {
    unsigned *waiters;
    unsigned waiters_max;
    int wait_ms;
};

/* How a request may wait; wait_ms 0: it may not. */
static struct wait_policy wait_policy_of(fuse_req_t req, struct verifier *verifier,
                                         const struct lower *lower)
{
#ifdef HAVE_FUSE_URING
    if (fuse_req_is_uring(req))
        return (struct wait_policy){
            &verifier->uring_waiters, URING_WAITERS_MAX,
            manifest_size_bytes(lower_manifest(lower)) <= URING_TEMPLATE_MAX_BYTES ? URING_WAIT_MS
                                                                                   : 0};
#else
    (void)req;
    (void)lower;
#endif
    return (struct wait_policy){&verifier->device_waiters, DEVICE_WAITERS_MAX, DEVICE_WAIT_MS};
}

static void await(struct verifier *verifier, struct verification *verification,
                  const struct wait_policy *policy)
{
    struct timespec until = clock_monotonic_after(policy->wait_ms * NS_PER_MS);
    (*policy->waiters)++;
    verification->waiters++;
    while (!verification->done && !atomic_load(&verifier->stopping) &&
           pthread_cond_timedwait(&verifier->finished, &verifier->mutex, &until) != ETIMEDOUT)
        continue;
    verification->waiters--;
    (*policy->waiters)--;
}

int verifier_require(fuse_req_t req, struct lower *lower)
{
    struct verifier *verifier = server_of(req)->verifier;
    int r = lower_is_verified(lower);
    if (r != 0)
        return r < 0 ? r : 0;
    struct wait_policy policy = wait_policy_of(req, verifier, lower);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&verifier->mutex);
    struct verification *verification = find(verifier, lower);
    if (!verification)
        verification = enlist(verifier, lower);
    if (!verification)
        return -EAGAIN;
    if (!verification->done && policy.wait_ms > 0 && *policy.waiters < policy.waiters_max)
        await(verifier, verification, &policy);
    if (!verification->done)
        return atomic_load(&verifier->stopping) ? -ESHUTDOWN : -EAGAIN;
    r = verification->result == -ECANCELED ? -ESHUTDOWN : verification->result;
    if (verification->waiters == 0)
        drop(verifier, verification);
    return r;
}

unsigned verifier_count(struct server *server)
{
    struct verifier *verifier = server->verifier;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&verifier->mutex);
    unsigned count = 0;
    struct verification *verification;
    TAILQ_FOREACH(verification, &verifier->listed, next)
    count += !verification->done;
    return count;
}

/* ---- starting and stopping ---- */

int verifier_start(struct server *server)
{
    struct verifier *verifier = calloc(1, sizeof(*verifier));
    if (!verifier)
        return -ENOMEM;
    verifier->server = server;
    TAILQ_INIT(&verifier->listed);
    pthread_mutex_init(&verifier->mutex, NULL);
    pthread_cond_init(&verifier->wanted, NULL);
    clock_init_condition(&verifier->finished);
    int r = spawn_thread(&verifier->thread, run, verifier);
    if (r < 0) {
        pthread_cond_destroy(&verifier->finished);
        pthread_cond_destroy(&verifier->wanted);
        pthread_mutex_destroy(&verifier->mutex);
        free(verifier);
        return r;
    }
    server->verifier = verifier;
    return 0;
}

void verifier_interrupt(struct server *server)
{
    struct verifier *verifier = server->verifier;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&verifier->mutex);
    atomic_store(&verifier->stopping, true);
    (void)pthread_cond_broadcast(&verifier->wanted);
    (void)pthread_cond_broadcast(&verifier->finished);
}

void verifier_stop(struct server *server)
{
    struct verifier *verifier = server->verifier;
    if (!verifier)
        return;
    verifier_interrupt(server);
    (void)pthread_join(verifier->thread, NULL);
    while (!TAILQ_EMPTY(&verifier->listed))
        drop(verifier, TAILQ_FIRST(&verifier->listed));
    pthread_cond_destroy(&verifier->finished);
    pthread_cond_destroy(&verifier->wanted);
    pthread_mutex_destroy(&verifier->mutex);
    free(verifier);
    server->verifier = NULL;
}
