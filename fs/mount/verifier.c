#include "fs/mount/verifier.h"

#include <sys/queue.h>

#include "fs/base/clock.h"
#include "fs/base/spawn.h"

enum {
    /* Of the ten threads that libfuse starts at most for /dev/fuse. */
    DEVICE_WAITERS_MAX = 4,
    DEVICE_WAIT_MS = 10 * 1000,
    URING_WAITERS_MAX = 1,
    URING_WAIT_MS = 100,
    URING_TEMPLATE_MAX_BYTES = 64 << 20,
    /* Templates that wait for their turn, or whose damage nobody has asked for. */
    LISTED_MAX = 64,
};

struct verification {
    TAILQ_ENTRY(verification) next;
    struct lower *base; /* referenced */
    unsigned waiters;
    bool done;
    int result; /* when done */
};
TAILQ_HEAD(verifications, verification);

struct verifier {
    struct server *server;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex; /* innermost: guards what follows, and stopping's going up */
    pthread_cond_t wanted;
    pthread_cond_t finished;
    struct verifications listed; /* in the order in which they came */
    unsigned listed_count;
    unsigned device_waiters;
    unsigned uring_waiters;
};

/* ---- the list; with the mutex held ---- */

static struct verification *find(struct verifier *verifier, const struct lower *base)
{
    struct verification *verification;
    TAILQ_FOREACH(verification, &verifier->listed, next)
    if (verification->base == base)
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
    lower_unref(verification->base);
    free(verification);
}

/* Room for one more: the damage that nobody asked for the longest is forgotten. */
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

static struct verification *enlist(struct verifier *verifier, struct lower *base)
{
    struct verification *verification =
        make_room(verifier) ? calloc(1, sizeof(*verification)) : NULL;
    if (!verification)
        return NULL;
    verification->base = lower_ref(base);
    TAILQ_INSERT_TAIL(&verifier->listed, verification, next);
    verifier->listed_count++;
    (void)pthread_cond_signal(&verifier->wanted);
    return verification;
}

/* ---- the thread ---- */

static int verify(struct verifier *verifier, struct lower *base)
{
    int r = lower_verify(base, &verifier->stopping);
    /* Evicted while it was read: nothing is wrong. */
    return r < 0 && r != -ECANCELED && !lower_is_current(base) ? -ENOENT : r;
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
        int result = verify(verifier, verification->base);
        (void)pthread_mutex_lock(&verifier->mutex);
        verification->done = true;
        verification->result = result;
        (void)pthread_cond_broadcast(&verifier->finished);
        /* What is whole says so itself; damage waits for the next who asks. */
        if (result == 0 && verification->waiters == 0)
            drop(verifier, verification);
    }
    return NULL;
}

/* ---- requests ---- */

struct place {
    unsigned *waiters;
    unsigned waiters_max;
    int wait_ms;
};

/* How a request may wait; wait_ms 0: not at all. */
static struct place place_of(fuse_req_t req, struct verifier *verifier, const struct lower *base)
{
#ifdef HAVE_FUSE_URING
    if (fuse_req_is_uring(req))
        return (struct place){&verifier->uring_waiters, URING_WAITERS_MAX,
                              manifest_size_bytes(lower_manifest(base)) <= URING_TEMPLATE_MAX_BYTES
                                  ? URING_WAIT_MS
                                  : 0};
#else
    (void)req;
    (void)base;
#endif
    return (struct place){&verifier->device_waiters, DEVICE_WAITERS_MAX, DEVICE_WAIT_MS};
}

static void await(struct verifier *verifier, struct verification *verification,
                  const struct place *place)
{
    struct timespec until = clock_monotonic_after(place->wait_ms * NS_PER_MS);
    (*place->waiters)++;
    verification->waiters++;
    while (!verification->done && !atomic_load(&verifier->stopping) &&
           pthread_cond_timedwait(&verifier->finished, &verifier->mutex, &until) != ETIMEDOUT)
        continue;
    verification->waiters--;
    (*place->waiters)--;
}

int verifier_require(fuse_req_t req, struct lower *base)
{
    struct verifier *verifier = server_of(req)->verifier;
    int r = lower_is_verified(base);
    if (r != 0)
        return r < 0 ? r : 0;
    struct place place = place_of(req, verifier, base);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&verifier->mutex);
    struct verification *verification = find(verifier, base);
    if (!verification)
        verification = enlist(verifier, base);
    if (!verification)
        return -EAGAIN;
    if (!verification->done && place.wait_ms > 0 && *place.waiters < place.waiters_max)
        await(verifier, verification, &place);
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

/* ---- from the server's start to its end ---- */

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
