#include "fs/overlay/session_use.h"

#include "fs/base/clock.h"
#include "fs/overlay/node_internal.h"

void session_touch(struct session *session)
{
    atomic_store_explicit(&session->used_ns, clock_monotonic_coarse_ns(), memory_order_relaxed);
}

void session_free(struct session *session)
{
    (void)pthread_mutex_lock(&session->list->mutex);
    LIST_REMOVE(session, all);
    (void)pthread_mutex_unlock(&session->list->mutex);
    while (!LIST_EMPTY(&session->nodes)) {
        if (atomic_load(&session->discarded))
            node_discard(LIST_FIRST(&session->nodes));
        else
            node_free(LIST_FIRST(&session->nodes));
    }
    changelog_close(session->log);
    lower_release(session->lower);
    lower_unref(session->lower);
    pthread_rwlock_destroy(&session->changes);
    pthread_mutex_destroy(&session->names);
    free(session);
}

void session_unpin(struct session *session)
{
    if (atomic_fetch_sub(&session->pins, 1) == 1)
        session_free(session);
}

void node_ref_held(struct node *node)
{
    if (node->refs++ == 0)
        atomic_fetch_add(&node->session->pins, 1);
}

void node_ref(struct node *node)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&node->session->names);
    node_ref_held(node);
}

void node_unref(struct node *node, uint64_t count)
{
    struct session *session = node->session;
    (void)pthread_mutex_lock(&session->names);
    node->refs -= count;
    bool last = node->refs == 0;
    if (last)
        node_drop_if_unused(node);
    (void)pthread_mutex_unlock(&session->names);
    if (last)
        session_unpin(session);
}
