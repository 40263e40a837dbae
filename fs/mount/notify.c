#include "fs/mount/notify.h"

#include <string.h>
#include <sys/queue.h>

#include "fs/base/spawn.h"
#include "fs/mount/target.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session_use.h"

/* A name of a discarded session; see session_name_lost. */
struct lost_name {
    STAILQ_ENTRY(lost_name) next;
    struct node *directory; /* referenced */
    char name[];
};
STAILQ_HEAD(lost_names, lost_name);

struct notifier {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t mutex; /* innermost; guards the fields below */
    pthread_cond_t wanted;
    bool stale[INODE_STATUS + 1]; /* listings to drop, by kind */
    struct lost_names lost;
    bool stopping;
};

/* What the kernel must forget: a listing, names, or both. */
struct work {
    enum inode_kind listing; /* INODE_ROOT: none */
    struct lost_names lost;
};

static bool take_work_held(struct notifier *notifier, struct work *ret_work)
{
    for (enum inode_kind kind = INODE_TEMPLATES; kind <= INODE_SESSIONS; kind++)
        if (notifier->stale[kind]) {
            notifier->stale[kind] = false;
            ret_work->listing = kind;
            break;
        }
    STAILQ_CONCAT(&ret_work->lost, &notifier->lost);
    return ret_work->listing != INODE_ROOT || !STAILQ_EMPTY(&ret_work->lost);
}

static bool await_work(struct notifier *notifier, struct work *ret_work)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&notifier->mutex);
    *ret_work = (struct work){.listing = INODE_ROOT};
    STAILQ_INIT(&ret_work->lost);
    while (!notifier->stopping) {
        if (take_work_held(notifier, ret_work))
            return true;
        (void)pthread_cond_wait(&notifier->wanted, &notifier->mutex);
    }
    return false;
}

static void forget_names(struct server *server, struct lost_names *lost)
{
    struct lost_name *name;
    while ((name = STAILQ_FIRST(lost))) {
        STAILQ_REMOVE_HEAD(lost, next);
        (void)fuse_lowlevel_notify_inval_entry(server->fuse, target_id_of_node(name->directory),
                                               name->name, strlen(name->name));
        node_unref(name->directory, 1);
        free(name);
    }
    scratch_wake(server->scratch);
}

static void *run(void *context)
{
    struct notifier *notifier = context;
    struct server *server = notifier->server;
    struct work work;
    while (await_work(notifier, &work)) {
        /* Fails only if the kernel has forgotten the directory already. */
        if (work.listing != INODE_ROOT)
            (void)fuse_lowlevel_notify_inval_inode(
                server->fuse, target_id_of_inode(tree_listing(server->tree, work.listing)), 0, 0);
        if (!STAILQ_EMPTY(&work.lost))
            forget_names(server, &work.lost);
    }
    return NULL;
}

int notifier_start(struct server *server)
{
    struct notifier *notifier = calloc(1, sizeof(*notifier));
    if (!notifier)
        return -ENOMEM;
    notifier->server = server;
    STAILQ_INIT(&notifier->lost);
    pthread_mutex_init(&notifier->mutex, NULL);
    pthread_cond_init(&notifier->wanted, NULL);
    int r = spawn_thread(&notifier->thread, run, notifier);
    if (r < 0) {
        free(notifier);
        return r;
    }
    server->notifier = notifier;
    return 0;
}

void notifier_stop(struct server *server)
{
    struct notifier *notifier = server->notifier;
    if (!notifier)
        return;
    (void)pthread_mutex_lock(&notifier->mutex);
    notifier->stopping = true;
    (void)pthread_cond_signal(&notifier->wanted);
    (void)pthread_mutex_unlock(&notifier->mutex);
    (void)pthread_join(notifier->thread, NULL);
    /* The references to the directories end with the scratch. */
    struct lost_name *name;
    while ((name = STAILQ_FIRST(&notifier->lost))) {
        STAILQ_REMOVE_HEAD(&notifier->lost, next);
        free(name);
    }
    pthread_mutex_destroy(&notifier->mutex);
    pthread_cond_destroy(&notifier->wanted);
    free(notifier);
    server->notifier = NULL;
}

void notifier_drop_listing(struct server *server, enum inode_kind kind)
{
    struct notifier *notifier = server->notifier;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&notifier->mutex);
    notifier->stale[kind] = true;
    (void)pthread_cond_signal(&notifier->wanted);
}

bool notifier_lose_name(struct node *directory, const char *name, void *context)
{
    struct notifier *notifier = ((struct server *)context)->notifier;
    size_t size = strlen(name) + 1;
    struct lost_name *lost = notifier ? malloc(sizeof(*lost) + size) : NULL;
    if (!lost)
        return false;
    lost->directory = directory;
    memcpy(lost->name, name, size);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&notifier->mutex);
    STAILQ_INSERT_TAIL(&notifier->lost, lost, next);
    (void)pthread_cond_signal(&notifier->wanted);
    return true;
}
