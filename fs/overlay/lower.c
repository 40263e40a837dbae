#include "fs/overlay/lower.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/store/catalog.h"

/* Files without users that stay open for the next one. */
enum { CACHED_FILES = 16 };

static atomic_uint_least64_t next_number = 1;

struct base_node {
    const char *name;
    uint32_t parent;
    uint32_t position;
    uint32_t first_child; /* into children */
    uint32_t child_count;
    uint32_t directory_count;
    int fd;
    unsigned users;
    struct prefetch *hot; /* set before the file is acquired for the first time, for good */
};

struct lower {
    atomic_uint refs;
    const struct store *store;
    struct template *template;
    atomic_bool verified; /* never goes back */
    uint8_t digest[SHA256_SIZE_BYTES];
    uint64_t first_number;
    pthread_mutex_t sessions; /* guards the three below */
    unsigned session_count;
    struct lock in_use;
    bool is_resting;         /* in_use is free, its file open for the next session */
    struct base_node *nodes; /* one an entry, and one for the root behind them */
    uint32_t *children;      /* entries, by parent, then by name */
    pthread_mutex_t files;   /* guards fd and users of the nodes; innermost */
    unsigned cached;
};

static struct base_node *node_of(const struct lower *base, uint32_t entry)
{
    return &base->nodes[entry == BASE_ROOT ? base->template->manifest->entry_count : entry];
}

static int compare_children(const void *a, const void *b, void *context)
{
    const struct lower *base = context;
    const struct base_node *left = node_of(base, *(const uint32_t *)a);
    const struct base_node *right = node_of(base, *(const uint32_t *)b);
    if (left->parent != right->parent)
        return left->parent < right->parent ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* The entry of the path's first `length` bytes; entries are sorted by path as bytes. */
static uint32_t find_path(const struct manifest *manifest, const char *path, size_t length)
{
    size_t low = 0;
    size_t high = manifest->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = manifest->entries[middle].path;
        int order = strncmp(path, other, length);
        if (order == 0 && other[length] == '\0')
            return (uint32_t)middle;
        if (order <= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return BASE_NONE;
}

static int find_parents(struct lower *base)
{
    const struct manifest *manifest = base->template->manifest;
    for (uint32_t i = 0; i < manifest->entry_count; i++) {
        const char *path = manifest->entries[i].path;
        const char *slash = strrchr(path, '/');
        struct base_node *node = &base->nodes[i];
        node->fd = -1;
        node->name = slash ? slash + 1 : path;
        node->parent = slash ? find_path(manifest, path, (size_t)(slash - path)) : BASE_ROOT;
        if (node->parent == BASE_NONE)
            return -EBADMSG;
        struct base_node *parent = node_of(base, node->parent);
        parent->child_count++;
        parent->directory_count += manifest->entries[i].type == ENTRY_DIRECTORY;
        base->children[i] = i;
    }
    return 0;
}

static int index_tree(struct lower *base)
{
    uint32_t count = (uint32_t)base->template->manifest->entry_count;
    base->nodes = calloc((size_t)count + 1, sizeof(*base->nodes));
    base->children = calloc((size_t)count + 1, sizeof(*base->children));
    if (!base->nodes || !base->children)
        return -ENOMEM;
    int r = find_parents(base);
    if (r < 0)
        return r;
    qsort_r(base->children, count, sizeof(*base->children), compare_children, base);
    for (uint32_t i = 0; i < count; i++) {
        struct base_node *node = &base->nodes[base->children[i]];
        struct base_node *parent = node_of(base, node->parent);
        bool begins = i == 0 || base->nodes[base->children[i - 1]].parent != node->parent;
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

static int digest_tree(struct lower *base)
{
    const struct manifest *manifest = base->template->manifest;
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    int r = hash ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++)
        r = hash_entry(hash, &manifest->entries[i]);
    return r < 0 ? r : sha256_final(hash, base->digest);
}

int lower_open(const struct store *store, const char *key, struct lower **ret_base)
{
    struct lower *base = calloc(1, sizeof(*base));
    if (!base)
        return -ENOMEM;
    atomic_init(&base->refs, 1);
    base->store = store;
    base->in_use = (struct lock)LOCK_INIT;
    pthread_mutex_init(&base->files, NULL);
    pthread_mutex_init(&base->sessions, NULL);
    int r = template_open_unverified(store, key, &base->template);
    if (r == 0)
        r = index_tree(base);
    if (r == 0)
        r = digest_tree(base);
    if (r == 0)
        base->first_number =
            atomic_fetch_add(&next_number, base->template->manifest->entry_count + 1);
    if (r == 0)
        r = lower_is_verified(base);
    if (r < 0) {
        lower_unref(base);
        return r;
    }
    *ret_base = base;
    return 0;
}

int lower_is_verified(struct lower *base)
{
    if (atomic_load(&base->verified))
        return 1;
    int r = template_is_verified(base->store, base->template);
    if (r == 1)
        atomic_store(&base->verified, true);
    return r;
}

int lower_verify(struct lower *base, const atomic_bool *stop)
{
    int r = lower_is_verified(base);
    if (r != 0)
        return r < 0 ? r : 0;
    r = template_verify(base->store, base->template, stop);
    if (r == 0)
        atomic_store(&base->verified, true);
    return r;
}

struct lower *lower_ref(struct lower *base)
{
    atomic_fetch_add(&base->refs, 1);
    return base;
}

void lower_unref(struct lower *base)
{
    if (!base || atomic_fetch_sub(&base->refs, 1) != 1)
        return;
    if (base->nodes)
        for (size_t i = 0; i < base->template->manifest->entry_count; i++) {
            if (base->nodes[i].fd >= 0)
                (void)close(base->nodes[i].fd);
            prefetch_free(base->nodes[i].hot);
        }
    template_close(base->template);
    lock_release(&base->in_use);
    pthread_mutex_destroy(&base->files);
    pthread_mutex_destroy(&base->sessions);
    free(base->nodes);
    free(base->children);
    free(base);
}

unsigned lower_refs(const struct lower *base)
{
    return atomic_load(&base->refs);
}

bool lower_is_current(const struct lower *base)
{
    char path[SHA256_HEX_LENGTH + sizeof("/files")];
    struct stat opened;
    struct stat now;
    (void)snprintf(path, sizeof(path), "%s/files", lower_key(base));
    return fstat(base->template->files_fd, &opened) == 0 &&
           fstatat(base->store->templates_fd, path, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == now.st_dev && opened.st_ino == now.st_ino;
}

/* The lock file, kept open since the last session, or one anew. */
static int take_use_lock(struct lower *base)
{
    if (base->is_resting) {
        base->is_resting = false;
        if (lock_wake(&base->in_use) == 0)
            return 0;
        lock_forget(&base->in_use);
    }
    char name[SHA256_HEX_LENGTH + 16];
    (void)snprintf(name, sizeof(name), "use-%s", lower_key(base));
    return lock_take(&base->in_use, base->store->locks_fd, name, LOCK_SHARED, true);
}

int lower_hold(struct lower *base)
{
    if (!atomic_load(&base->verified))
        return -EAGAIN;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&base->sessions);
    if (base->session_count == 0) {
        int r = take_use_lock(base);
        if (r < 0)
            return r;
        if (!lower_is_current(base)) {
            lock_release(&base->in_use);
            return -ENOENT;
        }
    }
    base->session_count++;
    return 0;
}

void lower_let_go(struct lower *base)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&base->sessions);
    if (--base->session_count > 0)
        return;
    /* Free at once, so that gc finds only what is in use to be in use; but cheap to take again. */
    if (lock_rest(&base->in_use) < 0)
        lock_release(&base->in_use);
    else
        base->is_resting = true;
}

void lower_rest(struct lower *base)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&base->sessions);
    if (!base->is_resting)
        return;
    base->is_resting = false;
    /* The sessions' use ends now: gc goes by that. Nothing waits for this thread. */
    if (catalog_touch(base->store->catalog, lower_key(base)) < 0)
        log_warning("the use of template %.12s is not counted", lower_key(base));
    lock_release(&base->in_use);
}

const char *lower_key(const struct lower *base)
{
    return base->template->key;
}

const uint8_t *lower_digest(const struct lower *base)
{
    return base->digest;
}

const struct manifest *lower_manifest(const struct lower *base)
{
    return base->template->manifest;
}

const struct manifest_entry *lower_entry(const struct lower *base, uint32_t entry)
{
    return &base->template->manifest->entries[entry];
}

mode_t lower_entry_type(const struct lower *base, uint32_t entry)
{
    switch (lower_entry(base, entry)->type) {
    case ENTRY_DIRECTORY:
        return S_IFDIR;
    case ENTRY_SYMLINK:
        return S_IFLNK;
    default:
        return S_IFREG;
    }
}

const char *lower_name(const struct lower *base, uint32_t entry)
{
    return node_of(base, entry)->name;
}

uint64_t lower_number(const struct lower *base, uint32_t entry)
{
    return base->first_number + (entry == BASE_ROOT ? 0 : 1 + (uint64_t)entry);
}

uint32_t lower_parent(const struct lower *base, uint32_t entry)
{
    return node_of(base, entry)->parent;
}

uint32_t lower_lookup(const struct lower *base, uint32_t directory, const char *name)
{
    const struct base_node *parent = node_of(base, directory);
    uint32_t low = parent->first_child;
    uint32_t high = low + parent->child_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t entry = base->children[middle];
        int order = strcmp(name, base->nodes[entry].name);
        if (order == 0)
            return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return BASE_NONE;
}

uint32_t lower_child(const struct lower *base, uint32_t directory, uint32_t position)
{
    const struct base_node *parent = node_of(base, directory);
    return position < parent->child_count ? base->children[parent->first_child + position]
                                          : BASE_NONE;
}

uint32_t lower_position(const struct lower *base, uint32_t entry)
{
    return node_of(base, entry)->position;
}

uint32_t lower_child_count(const struct lower *base, uint32_t directory)
{
    return node_of(base, directory)->child_count;
}

uint32_t lower_directory_count(const struct lower *base, uint32_t directory)
{
    return node_of(base, directory)->directory_count;
}

int lower_file_acquire(struct lower *base, uint32_t entry, int *ret_fd)
{
    struct base_node *node = node_of(base, entry);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&base->files);
    if (node->fd < 0) {
        int fd = template_open_file(base->template, lower_entry(base, entry)->path);
        if (fd < 0)
            return fd;
        node->fd = fd;
        if (!node->hot)
            node->hot = prefetch_new();
    } else if (node->users == 0) {
        base->cached--;
    }
    node->users++;
    *ret_fd = node->fd;
    return 0;
}

void lower_file_release(struct lower *base, uint32_t entry)
{
    struct base_node *node = node_of(base, entry);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&base->files);
    if (--node->users > 0)
        return;
    if (base->cached < CACHED_FILES) {
        base->cached++;
        return;
    }
    (void)close(node->fd);
    node->fd = -1;
}

struct prefetch *lower_file_prefetch(const struct lower *base, uint32_t entry)
{
    return node_of(base, entry)->hot;
}
