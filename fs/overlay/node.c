#include "fs/overlay/node.h"

#include <string.h>

#include "fs/base/clock.h"
#include "fs/overlay/extents.h"
#include "fs/overlay/node_internal.h"

int node_new(struct session *session, uint32_t number, uint32_t entry, mode_t mode,
             struct node **ret_node)
{
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->session = session;
    node->number = number;
    node->entry = entry;
    node->mode = mode;
    node->type = mode & S_IFMT;
    node->lower_fd = -1;
    node->atime_ns = node->mtime_ns = node->ctime_ns = clock_real_coarse_ns();
    if (S_ISDIR(mode)) {
        int r = directory_new(session->lower, entry, &node->directory);
        if (r < 0) {
            free(node);
            return r;
        }
    }
    pthread_rwlock_init(&node->lock, NULL);
    LIST_INSERT_HEAD(&session->nodes, node, all);
    *ret_node = node;
    return 0;
}

static mode_t session_mode(const struct manifest_entry *entry)
{
    switch (entry->type) {
    case ENTRY_DIRECTORY:
        return S_IFDIR | entry->mode | S_IRWXU;
    case ENTRY_SYMLINK:
        return S_IFLNK | 0777;
    default:
        return S_IFREG | entry->mode | S_IWUSR;
    }
}

int node_from_entry(struct session *session, uint32_t number, struct node **ret_node)
{
    const struct manifest_entry *entry = lower_entry(session->lower, number);
    struct node *node;
    int r = node_new(session, NODE_FIRST_ENTRY + number, number, session_mode(entry), &node);
    if (r < 0)
        return r;
    node->uid = session->uid;
    node->gid = session->gid;
    node->named = true;
    node->atime_ns = node->mtime_ns = node->ctime_ns = lower_manifest(session->lower)->created_ns;
    switch (entry->type) {
    case ENTRY_FILE:
        node->size_bytes = node->lower_limit_bytes = entry->size_bytes;
        break;
    case ENTRY_SYMLINK:
        node->target = strdup(entry->target);
        if (!node->target) {
            node_discard(node);
            return -ENOMEM;
        }
        node->size_bytes = strlen(entry->target);
        break;
    case ENTRY_DIRECTORY:
        break;
    }
    *ret_node = node;
    return 0;
}

int node_child(struct node *directory, const char *name, struct node **ret_node)
{
    struct directory *names = directory->directory;
    const struct dentry *known = directory_find(names, name);
    if (known) {
        *ret_node = known->node;
        return known->node ? 0 : -ENOENT;
    }
    uint32_t entry = directory_lower_entry(names, name);
    if (entry == LOWER_NONE)
        return -ENOENT;
    struct dentry *dentry;
    int r = directory_prepare(names, name, &dentry);
    if (r < 0)
        return r;
    struct node *node;
    r = node_from_entry(directory->session, entry, &node);
    if (r < 0) {
        free(dentry);
        return r;
    }
    node->parent = directory;
    node_set_nlink(node, node_is_directory(node)
                             ? 2 + lower_directory_count(directory->session->lower, entry)
                             : 1);
    directory_set_lower(names, dentry, node);
    *ret_node = node;
    return 0;
}

bool node_is_directory(const struct node *node)
{
    return S_ISDIR(node->type);
}

void node_set_nlink(struct node *node, uint32_t nlink)
{
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_write(&node->lock);
    node->nlink = nlink;
    node->logged = nlink > 0;
}

void node_free(struct node *node)
{
    if (S_ISREG(node->type)) {
        blockmap_free(&node->map);
        if (node->lower_fd >= 0)
            lower_file_release(node->session->lower, node->entry);
    } else if (S_ISDIR(node->type)) {
        directory_free(node->directory);
    } else {
        free(node->target);
    }
    LIST_REMOVE(node, all);
    pthread_rwlock_destroy(&node->lock);
    free(node);
}

void node_discard(struct node *node)
{
    if (S_ISREG(node->type))
        extents_release_all(node);
    node_free(node);
}

void node_drop_if_unused(struct node *node)
{
    while (node && node->refs == 0) {
        if (node->nlink == 0) {
            node_discard(node);
            return;
        }
        bool fresh = !node->changed && node->parent;
        if (!fresh || (node_is_directory(node) && node->directory->by_name.count > 0))
            return;
        struct node *parent = node->parent;
        directory_forget(parent->directory, lower_name(node->session->lower, node->entry));
        node_discard(node);
        node = parent;
    }
}

void node_note_name(struct node *node, const char *name)
{
    static const char suffix[] = "-shm";
    size_t length = strlen(name);
    if (node->entry == LOWER_NONE && node->stored_blocks == 0 && length >= strlen(suffix))
        node->unlimited = !strcmp(name + length - strlen(suffix), suffix);
}

struct session *node_session(const struct node *node)
{
    return node->session;
}

bool node_is_root(const struct node *node)
{
    return node->number == NODE_ROOT;
}

const char *node_target(const struct node *node)
{
    return node->target;
}

uint64_t node_ino(const struct node *node)
{
    return node->session->serial << 32 | node->number;
}

void node_fill_record(const struct node *node, struct node_record *ret_record)
{
    *ret_record = (struct node_record){
        .node = node->number,
        .entry = node->entry,
        .mode = node->mode,
        .uid = node->uid,
        .gid = node->gid,
        .rdev = node->rdev,
        .size_bytes = node->size_bytes,
        .lower_limit_bytes = node->lower_limit_bytes,
        .atime_ns = node->atime_ns,
        .mtime_ns = node->mtime_ns,
        .ctime_ns = node->ctime_ns,
    };
}

struct add_extents {
    const struct node *node;
    struct frame *frame;
};

static void add_extent(fileblock_t at, uint32_t count, block_t block, void *context)
{
    const struct add_extents *add = context;
    frame_add_extent(add->frame, &(struct extent_record){
                                     .node = add->node->number,
                                     .at = at,
                                     .count = count,
                                     .block = block,
                                     .size_bytes = add->node->size_bytes,
                                     .mtime_ns = add->node->mtime_ns,
                                 });
}

void node_add_whole(const struct node *node, struct frame *frame)
{
    struct node_record record;
    node_fill_record(node, &record);
    frame_add_node(frame, &record, S_ISLNK(node->type) ? node->target : NULL);
    if (S_ISREG(node->type))
        blockmap_each(&node->map, 0, add_extent,
                      &(struct add_extents){.node = node, .frame = frame});
}
