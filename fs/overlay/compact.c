/*
 * Writes a session's whole state as one frame, which replaces a log that has grown long.
 *
 * When it is replayed, each name is as in the template until a record changes it, and the
 * template's entries are found by number wherever they are (session_replay.c). So the frame has, in
 * this order:
 *
 *     1. the names of the template that were removed or now name another node;
 *     2. directories from the root down, since new ones are known only after their own record;
 *     3. files and links, whose directories are all known by then.
 */
#include "fs/overlay/compact.h"

#include "fs/base/vector.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/session_log.h"

struct compaction {
    struct session *session;
    struct frame frame;
    VECTOR(struct node *) directories; /* in the order of step 2 */
};

/* Lists all directories that are reachable and in memory, from the root down. */
static int gather_directories(struct compaction *compaction)
{
    int r = vector_push(&compaction->directories, compaction->session->root);
    for (size_t i = 0; r == 0 && i < compaction->directories.count; i++) {
        const struct directory *names = compaction->directories.items[i]->directory;
        for (size_t k = 0; r == 0 && k < names->by_name.count; k++) {
            struct node *child = names->by_name.items[k]->node;
            if (child && node_is_directory(child))
                r = vector_push(&compaction->directories, child);
        }
    }
    return r;
}

static void add_removals(struct compaction *compaction)
{
    for (size_t i = 0; i < compaction->directories.count; i++) {
        const struct node *directory = compaction->directories.items[i];
        const struct directory *names = directory->directory;
        for (size_t k = 0; k < names->by_name.count; k++) {
            const struct dentry *dentry = names->by_name.items[k];
            bool differs = !dentry->node || dentry->made;
            if (differs && directory_lower_entry(names, dentry->name) != LOWER_NONE)
                frame_add_unlink(&compaction->frame, directory->number, dentry->name);
        }
    }
}

static void add_child_directory(struct compaction *compaction, const struct node *parent,
                                const struct dentry *dentry)
{
    const struct node *child = dentry->node;
    bool is_new = child->entry == LOWER_NONE;
    if (is_new)
        node_add_whole(child, &compaction->frame);
    if (dentry->made)
        frame_add_link(&compaction->frame, parent->number, dentry->name, child->number);
    if (!is_new && child->changed)
        node_add_whole(child, &compaction->frame);
}

static void add_directories(struct compaction *compaction)
{
    node_add_whole(compaction->session->root, &compaction->frame);
    for (size_t i = 0; i < compaction->directories.count; i++) {
        const struct node *parent = compaction->directories.items[i];
        for (size_t k = 0; k < parent->directory->by_name.count; k++) {
            const struct dentry *dentry = parent->directory->by_name.items[k];
            if (dentry->node && node_is_directory(dentry->node))
                add_child_directory(compaction, parent, dentry);
        }
    }
}

static void add_files(struct compaction *compaction)
{
    /* A new node is known by its own record, so this comes before its names. */
    struct node *node;
    LIST_FOREACH(node, &compaction->session->nodes, all)
    {
        if (!node_is_directory(node) && node->nlink > 0 && node->changed)
            node_add_whole(node, &compaction->frame);
    }
    for (size_t i = 0; i < compaction->directories.count; i++) {
        const struct node *parent = compaction->directories.items[i];
        for (size_t k = 0; k < parent->directory->by_name.count; k++) {
            const struct dentry *dentry = parent->directory->by_name.items[k];
            if (dentry->node && !node_is_directory(dentry->node) && dentry->made)
                frame_add_link(&compaction->frame, parent->number, dentry->name,
                               dentry->node->number);
        }
    }
}

static int compact_held(struct session *session)
{
    struct compaction compaction = {.session = session};
    frame_init(&compaction.frame);
    session_add_header(session, &compaction.frame);
    int r = gather_directories(&compaction);
    if (r == 0) {
        add_removals(&compaction);
        add_directories(&compaction);
        add_files(&compaction);
        r = changelog_replace(session->log, &compaction.frame);
    }
    frame_fini(&compaction.frame);
    vector_fini(&compaction.directories);
    return r;
}

int session_rewrite_log(struct session *session)
{
    AUTO_RWUNLOCK pthread_rwlock_t *changes = rwlock_hold_write(&session->changes);
    AUTO_UNLOCK pthread_mutex_t *names = mutex_hold(&session->names);
    return atomic_load(&session->discarded) ? 0 : compact_held(session);
}

int session_compact(struct session *session)
{
    AUTO_RWUNLOCK pthread_rwlock_t *changes = rwlock_hold_write(&session->changes);
    AUTO_UNLOCK pthread_mutex_t *names = mutex_hold(&session->names);
    /* Another thread may have compacted it meanwhile. */
    if (atomic_load(&session->discarded) || !changelog_is_long(session->log))
        return 0;
    return compact_held(session);
}

void session_after_change(struct session *session)
{
    if (atomic_load(&session->discarded))
        return;
    /* If compaction fails the log stays long: nothing is lost. */
    if (changelog_is_long(session->log) && session_compact(session) < 0)
        return;
    if (atomic_load(&session->open_files) == 0)
        changelog_rest(session->log);
}

void node_begin_change(struct node *node)
{
    (void)pthread_rwlock_rdlock(&node->session->changes);
    (void)pthread_rwlock_wrlock(&node->lock);
}

void node_end_change(struct node *node)
{
    (void)pthread_rwlock_unlock(&node->lock);
    (void)pthread_rwlock_unlock(&node->session->changes);
    session_after_change(node->session);
}
