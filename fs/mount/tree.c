#include "fs/mount/tree.h"

#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/hash.h"
#include "fs/mount/store_listing.h"
#include "fs/store/names.h"
#include "fs/store/template.h"

enum { FIRST_FREE_INO = 16 };

/* Room for KEY or NAME=KEY, rounded up to the alignment of the struct. */
enum { IDENTITY_TEXT_BYTES = (SHA256_HEX_LENGTH * 2 + 2 + 7) / 8 * 8 };

/* Two lookups with equal identities find the same dynamic inode. */
struct identity {
    enum inode_kind kind;
    uint32_t entry;
    uint64_t lower; /* its number: a template that is evicted and built again gets another one */
    char text[IDENTITY_TEXT_BYTES]; /* KEY, or NAME=KEY */
};
/* Identities are compared as bytes, so the struct must have no padding. */
_Static_assert(sizeof(struct identity) == sizeof(enum inode_kind) + sizeof(uint32_t) +
                                              sizeof(uint64_t) + IDENTITY_TEXT_BYTES,
               "an identity has no padding");

struct dynamic_inode {
    struct inode inode;
    uint64_t lookups;
    UT_hash_handle hh;
    struct identity identity;
};

struct tree {
    struct tree_options options;
    struct timespec started;
    struct listing *templates;
    struct inode fixed[INODE_STATUS + 1]; /* by kind */
    pthread_mutex_t mutex;                /* innermost; guards the fields below */
    struct dynamic_inode *dynamic;
    uint32_t next_ino;
};

int tree_new(const struct tree_options *options, struct tree **ret_tree)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;
    int r = listing_new(options->store, &tree->templates);
    if (r < 0) {
        free(tree);
        return r;
    }
    tree->options = *options;
    tree->next_ino = FIRST_FREE_INO;
    tree->started = clock_to_timespec(clock_real_ns());
    pthread_mutex_init(&tree->mutex, NULL);
    for (uint32_t kind = INODE_ROOT; kind <= INODE_STATUS; kind++)
        tree->fixed[kind] = (struct inode){.kind = kind, .ino = kind + 1};
    *ret_tree = tree;
    return 0;
}

static void free_dynamic(struct tree *tree, struct dynamic_inode *dynamic)
{
    HASH_DEL(tree->dynamic, dynamic);
    lower_unref(dynamic->inode.lower);
    free(dynamic);
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    struct dynamic_inode *dynamic;
    struct dynamic_inode *next;
    HASH_ITER (hh, tree->dynamic, dynamic, next)
        free_dynamic(tree, dynamic);
    listing_free(tree->templates);
    pthread_mutex_destroy(&tree->mutex);
    free(tree);
}

struct inode *tree_root(struct tree *tree)
{
    return &tree->fixed[INODE_ROOT];
}

struct inode *tree_listing(struct tree *tree, enum inode_kind kind)
{
    return &tree->fixed[kind];
}

/* Finds or makes the inode of that identity. Takes over the reference to `lower`. */
static int get_dynamic(struct tree *tree, const struct identity *identity, struct lower *lower,
                       struct inode **ret_inode)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&tree->mutex);
    struct dynamic_inode *dynamic;
    HASH_FIND(hh, tree->dynamic, identity, sizeof(*identity), dynamic);
    if (dynamic) {
        lower_unref(lower);
    } else {
        dynamic = calloc(1, sizeof(*dynamic));
        if (!dynamic || tree->next_ino == UINT32_MAX) {
            free(dynamic);
            lower_unref(lower);
            return -ENOMEM;
        }
        dynamic->identity = *identity;
        dynamic->inode = (struct inode){
            .kind = identity->kind,
            .ino = identity->kind == INODE_TEMPLATE
                       ? TEMPLATE_INO + lower_number(lower, identity->entry)
                       : tree->next_ino++,
            .entry = identity->entry,
            .lower = lower,
        };
        if (identity->kind == INODE_NAME)
            dynamic->inode.target = strchr(dynamic->identity.text, '=') + 1;
        HASH_ADD(hh, tree->dynamic, identity, sizeof(*identity), dynamic);
        if (!HASH_ADDED(dynamic)) {
            free(dynamic);
            lower_unref(lower);
            return -ENOMEM;
        }
    }
    dynamic->lookups++;
    *ret_inode = &dynamic->inode;
    return 0;
}

static void fill_identity(struct identity *identity, enum inode_kind kind, uint32_t entry,
                          const char *text)
{
    memset(identity, 0, sizeof(*identity)); /* including the bytes after the text */
    identity->kind = kind;
    identity->entry = entry;
    (void)snprintf(identity->text, sizeof(identity->text), "%s", text);
}

const struct inode *tree_known_sessions_of(struct tree *tree, const char *key)
{
    struct identity identity;
    fill_identity(&identity, INODE_SESSIONS_OF, LOWER_ROOT, key);
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&tree->mutex);
    struct dynamic_inode *dynamic;
    HASH_FIND(hh, tree->dynamic, &identity, sizeof(identity), dynamic);
    return dynamic ? &dynamic->inode : NULL;
}

static int get_of_lower(struct tree *tree, enum inode_kind kind, struct lower *lower,
                        uint32_t entry, struct inode **ret_inode)
{
    struct identity identity;
    fill_identity(&identity, kind, entry, lower_key(lower));
    /* All sessions of a key are in one directory, even if the template was built again. */
    if (kind == INODE_TEMPLATE)
        identity.lower = lower_number(lower, LOWER_ROOT);
    return get_dynamic(tree, &identity, lower, ret_inode);
}

static int lookup_name(struct tree *tree, const char *name, struct inode **ret_inode)
{
    char key[SHA256_HEX_LENGTH + 1];
    if (!name_is_valid(name))
        return -ENOENT;
    int r = template_key_of_name(tree->options.store, name, key);
    if (r < 0)
        return r;
    char text[sizeof(((struct identity *)NULL)->text)];
    struct identity identity;
    (void)snprintf(text, sizeof(text), "%s=%s", name, key);
    fill_identity(&identity, INODE_NAME, 0, text);
    return get_dynamic(tree, &identity, NULL, ret_inode);
}

static int lookup_key(struct tree *tree, enum inode_kind kind, const char *key,
                      struct inode **ret_inode)
{
    /* Lower files that are in use may outlive their template. */
    if (!template_exists(tree->options.store, key))
        return -ENOENT;
    struct lower *lower;
    int r = scratch_lower(tree->options.scratch, key, &lower);
    return r < 0 ? r : get_of_lower(tree, kind, lower, LOWER_ROOT, ret_inode);
}

static int get_fixed(struct tree *tree, const char *name, const char *wanted, enum inode_kind kind,
                     struct inode **ret_inode)
{
    if (strcmp(name, wanted) != 0)
        return -ENOENT;
    *ret_inode = &tree->fixed[kind];
    return 0;
}

int tree_lookup(struct tree *tree, struct inode *parent, const char *name, struct inode **ret_inode)
{
    int r;
    switch (parent->kind) {
    case INODE_ROOT:
        r = get_fixed(tree, name, "templates", INODE_TEMPLATES, ret_inode);
        if (r < 0)
            r = get_fixed(tree, name, "sessions", INODE_SESSIONS, ret_inode);
        if (r < 0)
            r = get_fixed(tree, name, ".mintfs", INODE_CONTROL, ret_inode);
        return r;
    case INODE_CONTROL:
        return get_fixed(tree, name, "status.json", INODE_STATUS, ret_inode);
    case INODE_TEMPLATES:
    case INODE_SESSIONS:
        if (!sha256_is_hex(name))
            return lookup_name(tree, name, ret_inode);
        return lookup_key(tree,
                          parent->kind == INODE_TEMPLATES ? INODE_TEMPLATE : INODE_SESSIONS_OF,
                          name, ret_inode);
    case INODE_TEMPLATE: {
        uint32_t entry = lower_lookup(parent->lower, parent->entry, name);
        if (entry == LOWER_NONE)
            return -ENOENT;
        return get_of_lower(tree, INODE_TEMPLATE, lower_ref(parent->lower), entry, ret_inode);
    }
    default:
        return -ENOTDIR;
    }
}

void tree_forget(struct tree *tree, struct inode *inode, uint64_t count)
{
    if (inode->kind <= INODE_STATUS)
        return;
    struct dynamic_inode *dynamic = (struct dynamic_inode *)inode;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&tree->mutex);
    dynamic->lookups -= count;
    if (dynamic->lookups == 0)
        free_dynamic(tree, dynamic);
}

static void stat_entry(const struct inode *inode, struct stat *status)
{
    if (inode->entry == LOWER_ROOT) {
        status->st_mode = S_IFDIR | 0555;
        status->st_nlink = 2 + lower_directory_count(inode->lower, LOWER_ROOT);
        return;
    }
    const struct manifest_entry *entry = lower_entry(inode->lower, inode->entry);
    switch (entry->type) {
    case ENTRY_DIRECTORY:
        status->st_mode = S_IFDIR | 0555;
        status->st_nlink = 2 + lower_directory_count(inode->lower, inode->entry);
        break;
    case ENTRY_SYMLINK:
        status->st_mode = S_IFLNK | 0777;
        status->st_size = (off_t)strlen(entry->target);
        break;
    case ENTRY_FILE:
        status->st_mode = S_IFREG | 0444 | (entry->mode & 0111);
        status->st_size = (off_t)entry->size_bytes;
        status->st_blocks = (status->st_size + 511) / 512;
        break;
    }
}

void tree_stat(const struct tree *tree, const struct inode *inode, struct stat *ret_status)
{
    *ret_status = (struct stat){
        .st_ino = inode->ino,
        .st_mode = S_IFDIR | 0555,
        .st_nlink = 2,
        .st_uid = tree->options.uid,
        .st_gid = tree->options.gid,
        .st_blksize = 4096,
        .st_atim = tree->started,
        .st_mtim = tree->started,
        .st_ctim = tree->started,
    };
    switch (inode->kind) {
    case INODE_ROOT:
        ret_status->st_nlink = 5;
        break;
    case INODE_STATUS:
        ret_status->st_mode = S_IFREG | 0444;
        ret_status->st_nlink = 1;
        break;
    case INODE_NAME:
        ret_status->st_mode = S_IFLNK | 0777;
        ret_status->st_nlink = 2; /* in templates/ and in sessions/ */
        ret_status->st_size = (off_t)strlen(inode->target);
        break;
    case INODE_SESSIONS_OF:
        ret_status->st_mode = S_IFDIR | (tree->options.shared ? 01777 : 0755);
        break;
    case INODE_TEMPLATE: {
        struct timespec created = clock_to_timespec(lower_manifest(inode->lower)->created_ns);
        ret_status->st_atim = ret_status->st_mtim = ret_status->st_ctim = created;
        ret_status->st_nlink = 1;
        stat_entry(inode, ret_status);
        break;
    }
    default:
        break;
    }
}

/* ---- listing ---- */

static bool list_fixed(const struct tree *tree, const struct inode *inode, uint64_t cookie,
                       session_visitor *visit, void *context)
{
    static const struct {
        enum inode_kind parent;
        enum inode_kind kind;
        const char *name;
    } children[] = {
        {INODE_ROOT, INODE_TEMPLATES, "templates"},
        {INODE_ROOT, INODE_SESSIONS, "sessions"},
        {INODE_ROOT, INODE_CONTROL, ".mintfs"},
        {INODE_CONTROL, INODE_STATUS, "status.json"},
    };
    for (uint64_t i = cookie < COOKIE_FIRST ? 0 : cookie - COOKIE_FIRST + 1;
         i < ARRAY_LENGTH(children); i++) {
        if (children[i].parent != inode->kind)
            continue;
        const struct inode *child = &tree->fixed[children[i].kind];
        if (!visit(children[i].name, child->ino, child->kind == INODE_STATUS ? S_IFREG : S_IFDIR,
                   COOKIE_FIRST + i, context))
            return false;
    }
    return true;
}

static void list_entries(const struct inode *inode, uint64_t cookie, session_visitor *visit,
                         void *context)
{
    for (uint64_t i = cookie < COOKIE_FIRST ? 0 : cookie - COOKIE_FIRST + 1;; i++) {
        uint32_t entry = lower_child(inode->lower, inode->entry, (uint32_t)i);
        if (entry == LOWER_NONE)
            return;
        if (!visit(lower_name(inode->lower, entry),
                   TEMPLATE_INO + lower_number(inode->lower, entry),
                   lower_entry_type(inode->lower, entry), COOKIE_FIRST + i, context))
            return;
    }
}

int tree_readdir(struct tree *tree, const struct inode *inode, uint64_t cookie,
                 session_visitor *visit, void *context)
{
    if (cookie < COOKIE_SELF && !visit(".", inode->ino, S_IFDIR, COOKIE_SELF, context))
        return 0;
    if (cookie < COOKIE_PARENT &&
        !visit("..", tree->fixed[INODE_ROOT].ino, S_IFDIR, COOKIE_PARENT, context))
        return 0;
    switch (inode->kind) {
    case INODE_ROOT:
    case INODE_CONTROL:
        (void)list_fixed(tree, inode, cookie, visit, context);
        return 0;
    case INODE_TEMPLATES:
    case INODE_SESSIONS:
        return listing_readdir(tree->templates, cookie, visit, context);
    case INODE_TEMPLATE:
        list_entries(inode, cookie, visit, context);
        return 0;
    default:
        return -ENOTDIR;
    }
}
