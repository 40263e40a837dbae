#include "fs/overlay/lower.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/search.h"
#include "fs/store/catalog.h"
#include "fs/store/lock_names.h"
#include "fs/store/names.h"

/* Files that no session has open, kept for the next one. */
enum { CACHED_FILES = 16 };

static atomic_uint_least64_t next_number = 1;

struct lower_node {
    const char *name;
    uint32_t parent;
    uint32_t position;
    uint32_t first_child; /* into children */
    uint32_t child_count;
    uint32_t directory_count;
    int fd;
    unsigned users;
    struct prefetch *prefetch; /* set when the file is first acquired; never changes */
};

struct lower {
    atomic_uint refs;
    const struct store *store;
    struct template *template;
    atomic_bool verified; /* never reset */
    uint8_t digest[SHA256_SIZE_BYTES];
    uint64_t first_number;
    pthread_mutex_t sessions; /* guards the three below; see lower.h */
    unsigned session_count;
    struct lock in_use;
    bool is_resting;          /* in_use is free, its file open for the next session */
    struct lower_node *nodes; /* one per entry, then one for the root */
    uint32_t *children;       /* entries, by parent, then by name */
    pthread_mutex_t files;    /* guards fd and users of the nodes; innermost */
    unsigned cached;
};

static struct lower_node *node_of(const struct lower *lower, uint32_t entry)
{
    return &lower->nodes[entry == LOWER_ROOT ? lower->template->manifest->entry_count : entry];
}

static int compare_children(const void *a, const void *b, void *context)
{
    const struct lower *lower = context;
    const struct lower_node *left = node_of(lower, *(const uint32_t *)a);
    const struct lower_node *right = node_of(lower, *(const uint32_t *)b);
    if (left->parent != right->parent)
        return left->parent < right->parent ? -1 : 1;
    return strcmp(left->name, right->name);
}

struct path_search {
    const struct manifest_entry *entries;
    const char *path;
    size_t length;
};

static bool path_is_before(size_t index, const void *context)
{
    const struct path_search *search = context;
    return strncmp(search->entries[index].path, search->path, search->length) < 0;
}

/* The entry of the path's first `length` bytes. Entries are sorted by path, as bytes. */
static uint32_t find_path(const struct manifest *manifest, const char *path, size_t length)
{
    struct path_search search = {.entries = manifest->entries, .path = path, .length = length};
    size_t at = lower_bound(0, manifest->entry_count, path_is_before, &search);
    if (at == manifest->entry_count || strncmp(manifest->entries[at].path, path, length) != 0 ||
        manifest->entries[at].path[length] != '\0')
        return LOWER_NONE;
    return (uint32_t)at;
}

static int find_parents(struct lower *lower)
{
    const struct manifest *manifest = lower->template->manifest;
    for (uint32_t i = 0; i < manifest->entry_count; i++) {
        const char *path = manifest->entries[i].path;
        const char *slash = strrchr(path, '/');
        struct lower_node *node = &lower->nodes[i];
        node->fd = -1;
        node->name = slash ? slash + 1 : path;
        node->parent = slash ? find_path(manifest, path, (size_t)(slash - path)) : LOWER_ROOT;
        if (node->parent == LOWER_NONE)
            return -EBADMSG;
        struct lower_node *parent = node_of(lower, node->parent);
        parent->child_count++;
        parent->directory_count += manifest->entries[i].type == ENTRY_DIRECTORY;
        lower->children[i] = i;
    }
    return 0;
}

static int index_tree(struct lower *lower)
{
    uint32_t count = (uint32_t)lower->template->manifest->entry_count;
    lower->nodes = calloc((size_t)count + 1, sizeof(*lower->nodes));
    lower->children = calloc((size_t)count + 1, sizeof(*lower->children));
    if (!lower->nodes || !lower->children)
        return -ENOMEM;
    int r = find_parents(lower);
    if (r < 0)
        return r;
    qsort_r(lower->children, count, sizeof(*lower->children), compare_children, lower);
    for (uint32_t i = 0; i < count; i++) {
        struct lower_node *node = &lower->nodes[lower->children[i]];
        struct lower_node *parent = node_of(lower, node->parent);
        bool begins = i == 0 || lower->nodes[lower->children[i - 1]].parent != node->parent;
        if (begins)
            parent->first_child = i;
        node->position = i - parent->first_child;
    }
    return 0;
}

static int hash_text(struct sha256 *hash, const char *text)
{
    return sha256_update(hash, text, strlen(text) + 1);
}

static int hash_entry(struct sha256 *hash, const struct manifest_entry *entry)
{
    const uint64_t numbers[] = {entry->type, entry->size_bytes, entry->starts_in_wal};
    int r = hash_text(hash, entry->path);
    if (r == 0)
        r = sha256_update(hash, numbers, sizeof(numbers));
    if (r == 0 && entry->type == ENTRY_SYMLINK)
        r = hash_text(hash, entry->target);
    if (r == 0 && entry->type == ENTRY_FILE)
        r = sha256_update(hash, entry->digest, sizeof(entry->digest));
    return r;
}

static int digest_tree(struct lower *lower)
{
    const struct manifest *manifest = lower->template->manifest;
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    int r = hash ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++)
        r = hash_entry(hash, &manifest->entries[i]);
    return r < 0 ? r : sha256_final(hash, lower->digest);
}

int lower_open(const struct store *store, const char *key, struct lower **ret_lower)
{
    struct lower *lower = calloc(1, sizeof(*lower));
    if (!lower)
        return -ENOMEM;
    atomic_init(&lower->refs, 1);
    lower->store = store;
    lower->in_use = (struct lock)LOCK_INIT;
    pthread_mutex_init(&lower->files, NULL);
    pthread_mutex_init(&lower->sessions, NULL);
    int r = template_open_unverified(store, key, &lower->template);
    if (r == 0)
        r = index_tree(lower);
    if (r == 0)
        r = digest_tree(lower);
    if (r == 0)
        lower->first_number =
            atomic_fetch_add(&next_number, lower->template->manifest->entry_count + 1);
    if (r == 0)
        r = lower_is_verified(lower);
    if (r < 0) {
        lower_unref(lower);
        return r;
    }
    *ret_lower = lower;
    return 0;
}

int lower_is_verified(struct lower *lower)
{
    if (atomic_load(&lower->verified))
        return 1;
    int r = template_is_verified(lower->store, lower->template);
    if (r == 1)
        atomic_store(&lower->verified, true);
    return r;
}

int lower_verify(struct lower *lower, const atomic_bool *stop)
{
    int r = lower_is_verified(lower);
    if (r != 0)
        return r < 0 ? r : 0;
    r = template_verify(lower->store, lower->template, stop);
    if (r == 0)
        atomic_store(&lower->verified, true);
    return r;
}

struct lower *lower_ref(struct lower *lower)
{
    atomic_fetch_add(&lower->refs, 1);
    return lower;
}

void lower_unref(struct lower *lower)
{
    if (!lower || atomic_fetch_sub(&lower->refs, 1) != 1)
        return;
    if (lower->nodes)
        for (size_t i = 0; i < lower->template->manifest->entry_count; i++) {
            if (lower->nodes[i].fd >= 0)
                (void)close(lower->nodes[i].fd);
            prefetch_free(lower->nodes[i].prefetch);
        }
    template_close(lower->template);
    lock_release(&lower->in_use);
    pthread_mutex_destroy(&lower->files);
    pthread_mutex_destroy(&lower->sessions);
    free(lower->nodes);
    free(lower->children);
    free(lower);
}

unsigned lower_refs(const struct lower *lower)
{
    return atomic_load(&lower->refs);
}

bool lower_is_current(const struct lower *lower)
{
    char path[SHA256_HEX_LENGTH + sizeof("/files")];
    struct stat opened;
    struct stat now;
    (void)snprintf(path, sizeof(path), "%s/files", lower_key(lower));
    return fstat(lower->template->files_fd, &opened) == 0 &&
           fstatat(lower->store->templates_fd, path, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == now.st_dev && opened.st_ino == now.st_ino;
}

/* Takes the lock again, whose file is still open from the last session, or opens it. */
static int take_use_lock(struct lower *lower)
{
    if (lower->is_resting) {
        lower->is_resting = false;
        if (lock_unpark(&lower->in_use) == 0)
            return 0;
        lock_forget(&lower->in_use);
    }
    char name[KEY_LOCK_NAME_SIZE];
    lock_name_for_use(lower_key(lower), name);
    return lock_take(&lower->in_use, lower->store->locks_fd, name, LOCK_SHARED, LOCK_WAIT);
}

int lower_hold(struct lower *lower)
{
    if (!atomic_load(&lower->verified))
        return -EAGAIN;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&lower->sessions);
    if (lower->session_count == 0) {
        int r = take_use_lock(lower);
        if (r < 0)
            return r;
        if (!lower_is_current(lower)) {
            lock_release(&lower->in_use);
            return -ENOENT;
        }
    }
    lower->session_count++;
    return 0;
}

void lower_release(struct lower *lower)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&lower->sessions);
    if (--lower->session_count > 0)
        return;
    /* The lock is free at once, so that gc can evict the template, but is cheap to take again. */
    if (lock_park(&lower->in_use) < 0)
        lock_release(&lower->in_use);
    else
        lower->is_resting = true;
}

void lower_rest(struct lower *lower)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&lower->sessions);
    if (!lower->is_resting)
        return;
    lower->is_resting = false;
    /* For gc, which evicts by last use: the template was in use until now. */
    if (catalog_touch(lower->store->catalog, lower_key(lower)) < 0)
        log_warning("cannot record the use of template %" PRI_KEY, lower_key(lower));
    lock_release(&lower->in_use);
}

const char *lower_key(const struct lower *lower)
{
    return lower->template->key;
}

const uint8_t *lower_digest(const struct lower *lower)
{
    return lower->digest;
}

const struct manifest *lower_manifest(const struct lower *lower)
{
    return lower->template->manifest;
}

const struct manifest_entry *lower_entry(const struct lower *lower, uint32_t entry)
{
    return &lower->template->manifest->entries[entry];
}

mode_t lower_entry_type(const struct lower *lower, uint32_t entry)
{
    switch (lower_entry(lower, entry)->type) {
    case ENTRY_DIRECTORY:
        return S_IFDIR;
    case ENTRY_SYMLINK:
        return S_IFLNK;
    default:
        return S_IFREG;
    }
}

const char *lower_name(const struct lower *lower, uint32_t entry)
{
    return node_of(lower, entry)->name;
}

uint64_t lower_number(const struct lower *lower, uint32_t entry)
{
    return lower->first_number + (entry == LOWER_ROOT ? 0 : 1 + (uint64_t)entry);
}

uint32_t lower_parent(const struct lower *lower, uint32_t entry)
{
    return node_of(lower, entry)->parent;
}

struct name_search {
    const struct lower *lower;
    const char *name;
};

static bool name_is_before(size_t index, const void *context)
{
    const struct name_search *search = context;
    const struct lower *lower = search->lower;
    return strcmp(lower->nodes[lower->children[index]].name, search->name) < 0;
}

uint32_t lower_lookup(const struct lower *lower, uint32_t directory, const char *name)
{
    const struct lower_node *parent = node_of(lower, directory);
    size_t end = (size_t)parent->first_child + parent->child_count;
    struct name_search search = {.lower = lower, .name = name};
    size_t at = lower_bound(parent->first_child, end, name_is_before, &search);
    if (at == end || strcmp(lower->nodes[lower->children[at]].name, name) != 0)
        return LOWER_NONE;
    return lower->children[at];
}

uint32_t lower_child(const struct lower *lower, uint32_t directory, uint32_t position)
{
    const struct lower_node *parent = node_of(lower, directory);
    return position < parent->child_count ? lower->children[parent->first_child + position]
                                          : LOWER_NONE;
}

uint32_t lower_position(const struct lower *lower, uint32_t entry)
{
    return node_of(lower, entry)->position;
}

uint32_t lower_child_count(const struct lower *lower, uint32_t directory)
{
    return node_of(lower, directory)->child_count;
}

uint32_t lower_directory_count(const struct lower *lower, uint32_t directory)
{
    return node_of(lower, directory)->directory_count;
}

int lower_file_acquire(struct lower *lower, uint32_t entry, int *ret_fd)
{
    struct lower_node *node = node_of(lower, entry);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&lower->files);
    if (node->fd < 0) {
        int fd = template_open_file(lower->template, lower_entry(lower, entry)->path);
        if (fd < 0)
            return fd;
        node->fd = fd;
        if (!node->prefetch)
            node->prefetch = prefetch_new();
    } else if (node->users == 0) {
        lower->cached--;
    }
    node->users++;
    *ret_fd = node->fd;
    return 0;
}

void lower_file_release(struct lower *lower, uint32_t entry)
{
    struct lower_node *node = node_of(lower, entry);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&lower->files);
    if (--node->users > 0)
        return;
    if (lower->cached < CACHED_FILES) {
        lower->cached++;
        return;
    }
    (void)close(node->fd);
    node->fd = -1;
}

struct prefetch *lower_file_prefetch(const struct lower *lower, uint32_t entry)
{
    return node_of(lower, entry)->prefetch;
}
