/*
 * A session's whole state as one frame, which takes the place of a log that has grown long.
 *
 * Replaying records resolves node numbers against the tree as it is by then, so order matters:
 *
 *  1. names of the template that are gone, deepest directories first: while a directory is still
 *     where the template has it, its own changes find it;
 *  2. directories from the root down, each linked before anything in it is spoken of;
 *  3. files and links, whose directories all stand by now.
 */
#include "fs/overlay/node.h"

struct compaction {
    struct session *session;
    struct frame frame;
    struct node **directories; /* in the order of step 2 */
    size_t count;
    size_t room;
};

static int push_directory(struct compaction *compaction, struct node *directory)
{
    if (compaction->count == compaction->room) {
        size_t room = compaction->room ? compaction->room * 2 : 16;
        struct node **grown = realloc(compaction->directories, room * sizeof(struct node *));
        if (!grown)
            return -ENOMEM;
        compaction->directories = grown;
        compaction->room = room;
    }
    compaction->directories[compaction->count++] = directory;
    return 0;
}

/* Gathers all directories that are reachable and in memory, from the root down. */
static int gather_directories(struct compaction *compaction)
{
    int r = push_directory(compaction, compaction->session->root);
    for (size_t i = 0; r == 0 && i < compaction->count; i++) {
        const struct directory *names = compaction->directories[i]->directory;
        for (uint32_t k = 0; r == 0 && k < names->count; k++) {
            struct node *child = names->by_name[k]->node;
            if (child && node_is_directory(child))
                r = push_directory(compaction, child);
        }
    }
    return r;
}

static int template_depth(const struct node *directory)
{
    if (directory->base == BASE_ROOT)
        return 0;
    int depth = 1;
    for (const char *c = base_entry(directory->session->base, directory->base)->path; *c; c++)
        depth += *c == '/';
    return depth;
}

static int deeper_first(const void *a, const void *b)
{
    const struct node *const *left = a;
    const struct node *const *right = b;
    return template_depth(*right) - template_depth(*left);
}

static int add_removals(struct compaction *compaction)
{
    AUTO_FREE struct node **sorted = malloc((compaction->count + 1) * sizeof(struct node *));
    if (!sorted)
        return -ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < compaction->count; i++)
        if (compaction->directories[i]->base != BASE_NONE)
            sorted[count++] = compaction->directories[i];
    qsort(sorted, count, sizeof(struct node *), deeper_first);
    for (size_t i = 0; i < count; i++) {
        const struct directory *names = sorted[i]->directory;
        for (uint32_t k = 0; k < names->count; k++) {
            const struct dentry *dentry = names->by_name[k];
            bool gone = !dentry->node || directory_is_made(names, dentry);
            if (gone && directory_in_base(names, dentry->name))
                frame_add_unlink(&compaction->frame, sorted[i]->number, dentry->name);
        }
    }
    return 0;
}

static void add_child_directory(struct compaction *compaction, const struct node *parent,
                                const struct dentry *dentry)
{
    const struct node *child = dentry->node;
    bool is_new = child->base == BASE_NONE;
    if (is_new)
        node_add_whole(child, &compaction->frame);
    if (directory_is_made(parent->directory, dentry))
        frame_add_link(&compaction->frame, parent->number, dentry->name, child->number);
    if (!is_new && child->changed)
        node_add_whole(child, &compaction->frame);
}

static void add_directories(struct compaction *compaction)
{
    node_add_whole(compaction->session->root, &compaction->frame);
    for (size_t i = 0; i < compaction->count; i++) {
        const struct node *parent = compaction->directories[i];
        for (uint32_t k = 0; k < parent->directory->count; k++) {
            const struct dentry *dentry = parent->directory->by_name[k];
            if (dentry->node && node_is_directory(dentry->node))
                add_child_directory(compaction, parent, dentry);
        }
    }
}

static void add_files(struct compaction *compaction)
{
    /* Attributes of a node that exists by number alone come before its names, and only once:
     * those of template files may come at any time, since a number finds them. */
    struct node *node;
    LIST_FOREACH(node, &compaction->session->nodes, all)
    {
        if (!node_is_directory(node) && node->nlink > 0 && node->changed)
            node_add_whole(node, &compaction->frame);
    }
    for (size_t i = 0; i < compaction->count; i++) {
        const struct node *parent = compaction->directories[i];
        for (uint32_t k = 0; k < parent->directory->count; k++) {
            const struct dentry *dentry = parent->directory->by_name[k];
            if (dentry->node && !node_is_directory(dentry->node) &&
                directory_is_made(parent->directory, dentry))
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
    if (r == 0)
        r = add_removals(&compaction);
    if (r == 0) {
        add_directories(&compaction);
        add_files(&compaction);
        r = changelog_replace(session->log, &compaction.frame);
    }
    frame_fini(&compaction.frame);
    free(compaction.directories);
    return r;
}

int session_compact(struct session *session, bool force)
{
    (void)pthread_rwlock_wrlock(&session->changes);
    (void)pthread_mutex_lock(&session->names);
    int r = 0;
    /* Several may have found it long, and one of them was first. */
    if (!atomic_load(&session->discarded) && (force || changelog_is_long(session->log)))
        r = compact_held(session);
    (void)pthread_mutex_unlock(&session->names);
    (void)pthread_rwlock_unlock(&session->changes);
    return r;
}
