/*
 * A thread of its own, since a notification from a handler, or with a lock held, can deadlock with
 * the kernel (https://libfuse.github.io/doxygen/, fuse_lowlevel_notify_inval_inode).
 */
#include "fs/mount/server.h"

struct notifier {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wanted;
    bool stale[INODE_STATUS + 1]; /* listings, by kind */
    bool stopping;
};

/* The next stale listing; INODE_ROOT when it is time to go. */
static enum inode_kind await(struct notifier *notifier)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&notifier->mutex);
    for (;;) {
        if (notifier->stopping)
            return INODE_ROOT;
        for (enum inode_kind kind = INODE_TEMPLATES; kind <= INODE_SESSIONS; kind++)
            if (notifier->stale[kind]) {
                notifier->stale[kind] = false;
                return kind;
            }
        (void)pthread_cond_wait(&notifier->wanted, &notifier->mutex);
    }
}

static void *run(void *context)
{
    struct notifier *notifier = context;
    struct server *server = notifier->server;
    enum inode_kind kind;
    while ((kind = await(notifier)) != INODE_ROOT)
        /* Fails only if the kernel has forgotten the directory, which serves as well. */
        (void)fuse_lowlevel_notify_inval_inode(
            server->fuse, (fuse_ino_t)(uintptr_t)tree_listing(server->tree, kind), 0, 0);
    return NULL;
}

int notifier_start(struct server *server)
{
    struct notifier *notifier = calloc(1, sizeof(*notifier));
    if (!notifier)
        return -ENOMEM;
    notifier->server = server;
    pthread_mutex_init(&notifier->mutex, NULL);
    pthread_cond_init(&notifier->wanted, NULL);
    int error = pthread_create(&notifier->thread, NULL, run, notifier);
    if (error) {
        free(notifier);
        return -error;
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
