#include "fs/overlay/session.h"

#include <string.h>
#include <sys/random.h>

#include "fs/overlay/node_internal.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

const char *session_id(const struct session *session)
{
    return session->id;
}

const char *session_key(const struct session *session)
{
    return lower_key(session->lower);
}

uint64_t session_serial(const struct session *session)
{
    return session->serial;
}

uint64_t session_bytes(const struct session *session)
{
    return atomic_load(&session->stored_blocks) * BLOCK_SIZE_BYTES;
}

int64_t session_used_ns(const struct session *session)
{
    return atomic_load_explicit(&session->used_ns, memory_order_relaxed);
}

unsigned session_open_files(const struct session *session)
{
    return atomic_load(&session->open_files);
}

static int new_root(struct session *session)
{
    int r = node_new(session, NODE_ROOT, LOWER_ROOT, S_IFDIR | S_IRWXU, &session->root);
    if (r < 0)
        return r;
    session->root->changed = session->root->named = true;
    session->root->uid = session->uid;
    session->root->gid = session->gid;
    node_set_nlink(session->root, 2 + lower_directory_count(session->lower, LOWER_ROOT));
    return 0;
}

int session_make_owner(uint64_t *ret_owner)
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    *ret_owner = random | (uint64_t)1 << 63;
    return 0;
}

int session_new(const struct session_place *place, struct session **ret_session)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;
    int r = lower_hold(place->lower);
    if (r < 0) {
        free(session);
        return r;
    }
    session->list = place->list;
    (void)pthread_mutex_lock(&place->list->mutex);
    LIST_INSERT_HEAD(&place->list->sessions, session, all);
    (void)pthread_mutex_unlock(&place->list->mutex);
    session->lower = lower_ref(place->lower);
    session->blocks = place->blocks;
    session->serial = place->serial;
    session->owner = place->owner;
    session->uid = place->uid;
    session->gid = place->gid;
    session->limit_blocks = place->limit_blocks;
    session->next_number = NODE_FIRST_ENTRY + (uint32_t)lower_manifest(place->lower)->entry_count;
    (void)snprintf(session->id, sizeof(session->id), "%s", place->id);
    atomic_init(&session->pins, 1);
    session_touch(session);
    pthread_rwlock_init(&session->changes, NULL);
    pthread_mutex_init(&session->names, NULL);
    LIST_INIT(&session->nodes);
    r = new_root(session);
    if (r < 0) {
        session_unpin(session);
        return r;
    }
    *ret_session = session;
    return 0;
}

static int change_identity(struct session *session, const struct identity_record *record)
{
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    frame_add_identity(&frame, record);
    int r = session_record(session, &frame);
    if (r < 0)
        return r;
    memcpy(session->id, record->id, sizeof(session->id));
    session->replaced = record->replaced;
    session->lease = record->lease;
    return 0;
}

void session_get_lease(struct session *session, struct session_lease *ret_lease)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&session->names);
    *ret_lease = session->lease;
}

int session_set_lease(struct session *session, const struct session_lease *lease)
{
    AUTO_RWUNLOCK pthread_rwlock_t *changes = rwlock_hold_read(&session->changes);
    AUTO_UNLOCK pthread_mutex_t *names = mutex_hold(&session->names);
    struct identity_record record = {.replaced = session->replaced, .lease = *lease};
    memcpy(record.id, session->id, sizeof(record.id));
    return change_identity(session, &record);
}

int session_take_id(struct session *session, const char *id, uint64_t replaced,
                    const struct session_lease *lease)
{
    AUTO_RWUNLOCK pthread_rwlock_t *changes = rwlock_hold_read(&session->changes);
    AUTO_UNLOCK pthread_mutex_t *names = mutex_hold(&session->names);
    struct identity_record record = {.replaced = (uint32_t)replaced, .lease = *lease};
    (void)snprintf(record.id, sizeof(record.id), "%s", id);
    return change_identity(session, &record);
}

static bool is_open(struct node *node)
{
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_read(&node->lock);
    return node->opens > 0;
}

/*
 * Reports the names that the kernel does not drop by itself: those of open files, and of
 * directories, which may be a working directory or contain an open file.
 */
static void report_lost_names(struct node *directory)
{
    const struct session_list *list = directory->session->list;
    const struct directory *names = directory->directory;
    if (!list->name_lost || directory->refs == 0)
        return;
    for (size_t i = 0; i < names->by_name.count; i++) {
        const struct dentry *dentry = names->by_name.items[i];
        struct node *node = dentry->node;
        if (node && node->refs > 0 && (node_is_directory(node) || is_open(node)) &&
            list->name_lost(directory, dentry->name, list->name_lost_context))
            node_ref_held(directory);
    }
}

static void forget_names(struct node *directory)
{
    struct directory *empty;
    /* If memory is short the old table stays: since nlink is 0, its names are not found. */
    if (directory_new(directory->session->lower, LOWER_NONE, &empty) < 0)
        return;
    directory_free(directory->directory);
    directory->directory = empty;
}

void session_discard(struct session *session)
{
    (void)pthread_mutex_lock(&session->names);
    struct node *node;
    LIST_FOREACH(node, &session->nodes, all)
    {
        node_set_nlink(node, 0);
        if (node_is_directory(node)) {
            report_lost_names(node);
            forget_names(node);
        }
    }
    struct node *next;
    for (node = LIST_FIRST(&session->nodes); node; node = next) {
        next = LIST_NEXT(node, all);
        if (node->refs == 0)
            node_discard(node);
    }
    (void)pthread_mutex_unlock(&session->names);
}
