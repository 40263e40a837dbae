/*
 * Applies the records of a change log, in order, to the template's tree. At the end a walk from the
 * root counts links: nodes that it does not reach are dropped, and the others claim their blocks.
 */
#include "fs/overlay/session_replay.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/overlay/changelog_replay.h"
#include "fs/overlay/extents.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_use.h"

struct known {
    uint32_t number;
    struct node *node;
    UT_hash_handle hh;
};

struct replay {
    struct recovery *recovery;
    struct session *session;
    struct known *known; /* nodes by number */
};

static int remember(struct replay *replay, struct node *node)
{
    struct known *entry = malloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->number = node->number;
    entry->node = node;
    HASH_ADD_INT(replay->known, number, entry);
    if (!HASH_ADDED(entry)) {
        free(entry);
        return -ENOMEM;
    }
    if (node->number >= replay->session->next_number)
        replay->session->next_number = node->number + 1;
    return 0;
}

static struct node *recall(struct replay *replay, uint32_t number)
{
    struct known *entry;
    HASH_FIND_INT(replay->known, &number, entry);
    return entry ? entry->node : NULL;
}

/* As node_child(), and adds the child to the known nodes. */
static int child_of(struct replay *replay, struct node *parent, const char *name,
                    struct node **ret_node)
{
    int r = node_child(parent, name, ret_node);
    if (r == 0 && !recall(replay, (*ret_node)->number))
        r = remember(replay, *ret_node);
    return r;
}

static int node_of_entry(struct replay *replay, uint32_t entry, struct node **ret_node);

/* The node of the template's directory that contains the entry. */
static int parent_of_entry(struct replay *replay, uint32_t entry, struct node **ret_node)
{
    uint32_t parent = lower_parent(replay->session->lower, entry);
    if (parent != LOWER_ROOT)
        return node_of_entry(replay, parent, ret_node);
    *ret_node = replay->session->root;
    return 0;
}

/*
 * The node of a template's entry. It is in its place if the template's name still exists, even in a
 * directory that was removed. Otherwise it has no name, and a later record links it.
 */
static int node_of_entry(struct replay *replay, uint32_t entry, struct node **ret_node)
{
    *ret_node = recall(replay, NODE_FIRST_ENTRY + entry);
    if (*ret_node)
        return 0;
    struct node *parent;
    int r = parent_of_entry(replay, entry, &parent);
    if (r < 0)
        return r;
    const char *name = lower_name(replay->session->lower, entry);
    if (!directory_find(parent->directory, name))
        return child_of(replay, parent, name, ret_node);
    r = node_from_entry(replay->session, entry, ret_node);
    return r < 0 ? r : remember(replay, *ret_node);
}

static int find_node(struct replay *replay, uint32_t number, struct node **ret_node)
{
    size_t entries = lower_manifest(replay->session->lower)->entry_count;
    if (number == NODE_ROOT) {
        *ret_node = replay->session->root;
        return 0;
    }
    if (number >= NODE_FIRST_ENTRY && number - NODE_FIRST_ENTRY < entries)
        return node_of_entry(replay, number - NODE_FIRST_ENTRY, ret_node);
    *ret_node = recall(replay, number);
    return *ret_node ? 0 : -EBADMSG;
}

static int replay_header(const struct session_header *header, void *context)
{
    struct replay *replay = context;
    const struct recovery *recovery = replay->recovery;
    if (strcmp(header->boot_id, recovery->boot_id) != 0)
        return -ESTALE;
    if (header->owner == 0 || !sha256_is_hex(header->key) || !session_id_is_valid(header->id) ||
        header->serial == 0 || header->serial > INT32_MAX ||
        header->serial != strtoull(recovery->name, NULL, 16))
        return -EBADMSG;
    struct lower *lower;
    int r = recovery->find_lower(header->key, &lower, recovery->context);
    if (r < 0)
        return r;
    r = session_new(&(struct session_place){.list = recovery->list,
                                            .blocks = recovery->blocks,
                                            .lower = lower,
                                            .id = header->id,
                                            .uid = header->uid,
                                            .gid = header->gid,
                                            .serial = header->serial,
                                            .owner = header->owner,
                                            .limit_blocks = recovery->limit_blocks},
                    &replay->session);
    lower_unref(lower);
    if (r < 0)
        return r;
    replay->session->rewrite_log = header->is_old;
    memcpy(replay->session->boot_id, header->boot_id, sizeof(header->boot_id));
    return 0;
}

/* The numbers and blocks that follow refer to the template on which the session was created. */
static int replay_template(const struct template_record *record, void *context)
{
    const struct replay *replay = context;
    const uint8_t *digest = lower_digest(replay->session->lower);
    return memcmp(record->digest, digest, sizeof(record->digest)) == 0 ? 0 : -EXDEV;
}

static int replay_identity(const struct identity_record *record, void *context)
{
    struct replay *replay = context;
    if (!session_id_is_valid(record->id))
        return -EBADMSG;
    memcpy(replay->session->id, record->id, sizeof(record->id));
    replay->session->replaced = record->replaced;
    replay->session->lease = record->lease;
    return 0;
}

static bool type_is_known(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) ||
           S_ISCHR(mode) || S_ISBLK(mode);
}

static int make_recorded(struct replay *replay, const struct node_record *record,
                         const char *target, struct node **ret_node)
{
    if (record->entry != LOWER_NONE || record->node == 0 || record->node == UINT32_MAX ||
        !type_is_known(record->mode))
        return -EBADMSG;
    int r = node_new(replay->session, record->node, LOWER_NONE, record->mode, ret_node);
    if (r < 0)
        return r;
    if (S_ISLNK(record->mode)) {
        (*ret_node)->target = strdup(target);
        if (!(*ret_node)->target)
            return -ENOMEM;
    }
    return remember(replay, *ret_node);
}

static fileblock_t first_block_after(uint64_t size_bytes)
{
    return (fileblock_t)((size_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES);
}

static int replay_node(const struct node_record *record, const char *target, void *context)
{
    struct replay *replay = context;
    struct node *node;
    int r = find_node(replay, record->node, &node);
    if (r == -EBADMSG)
        r = make_recorded(replay, record, target, &node);
    if (r < 0)
        return r;
    if (node->type != (record->mode & S_IFMT) || node->entry != record->entry)
        return -EBADMSG;
    if (node->entry != LOWER_NONE && node->entry != LOWER_ROOT &&
        record->lower_limit_bytes > lower_entry(replay->session->lower, node->entry)->size_bytes)
        return -EBADMSG;
    if (S_ISREG(node->type) && record->size_bytes < node->size_bytes)
        blockmap_cut(&node->map, first_block_after(record->size_bytes));
    node->changed = true;
    node->mode = record->mode;
    node->uid = record->uid;
    node->gid = record->gid;
    node->rdev = record->rdev;
    node->size_bytes = record->size_bytes;
    node->lower_limit_bytes = record->lower_limit_bytes;
    node->atime_ns = record->atime_ns;
    node->mtime_ns = node->recorded_mtime_ns = record->mtime_ns;
    node->ctime_ns = record->ctime_ns;
    return 0;
}

static int replay_extent(const struct extent_record *record, void *context)
{
    struct replay *replay = context;
    struct node *node;
    int r = find_node(replay, record->node, &node);
    if (r < 0)
        return r;
    if (!S_ISREG(node->type) || record->size_bytes < node->size_bytes)
        return -EBADMSG;
    /* Zeros are recorded only where they hide bytes of the template. */
    if (record->block == BLOCK_ZERO && record->count > 0 &&
        (node->entry == LOWER_NONE ||
         record->at + record->count >
             first_block_after(lower_entry(replay->session->lower, node->entry)->size_bytes)))
        return -EBADMSG;
    /* Checked before memory is allocated, since a forged log could ask for all of it. */
    if (record->block < BLOCK_LIMIT &&
        !blocks_exist(replay->recovery->blocks, record->block, record->count))
        return -EBADMSG;
    if (record->count > 0 && record->block != BLOCK_ABSENT)
        r = blockmap_reserve(&node->map, record->at, record->count);
    if (r < 0)
        return r;
    blockmap_set(&node->map, record->at, record->count, record->block);
    node->size_bytes = record->size_bytes;
    node->mtime_ns = node->ctime_ns = node->recorded_mtime_ns = record->mtime_ns;
    node->changed = true;
    return 0;
}

static int find_directory(struct replay *replay, uint32_t number, struct node **ret_node)
{
    int r = find_node(replay, number, ret_node);
    return r < 0 ? r : node_is_directory(*ret_node) ? 0 : -EBADMSG;
}

static int replay_link(uint32_t parent_number, const char *name, uint32_t number, void *context)
{
    struct replay *replay = context;
    struct node *parent;
    struct node *node;
    struct node *old;
    int r = find_directory(replay, parent_number, &parent);
    if (r == 0)
        r = find_node(replay, number, &node);
    if (r < 0)
        return r;
    /* The node that had this name must be known from now on, since it may get another name. */
    r = child_of(replay, parent, name, &old);
    if (r < 0 && r != -ENOENT)
        return r;
    struct dentry *dentry;
    r = directory_prepare(parent->directory, name, &dentry);
    if (r < 0)
        return r;
    directory_set_made(parent->directory, dentry, node);
    node_note_name(node, name);
    parent->changed = node->changed = node->named = true;
    return 0;
}

static int replay_unlink(uint32_t parent_number, const char *name, void *context)
{
    struct replay *replay = context;
    struct node *parent;
    struct node *node;
    int r = find_directory(replay, parent_number, &parent);
    if (r < 0)
        return r;
    r = child_of(replay, parent, name, &node);
    if (r < 0)
        return r == -ENOENT ? -EBADMSG : r;
    struct dentry *whiteout;
    r = directory_prepare(parent->directory, name, &whiteout);
    if (r < 0)
        return r;
    directory_hide(parent->directory, whiteout);
    parent->changed = node->changed = true;
    return 0;
}

/* Sets the counts that a running session updates with each change. */
static void count_names(struct node *directory)
{
    struct directory *names = directory->directory;
    const struct lower *tree = directory->session->lower;
    uint32_t live = names->lower_count;
    uint32_t subdirectories =
        names->entry == LOWER_NONE ? 0 : lower_directory_count(tree, names->entry);
    for (size_t i = 0; i < names->by_name.count; i++) {
        const struct dentry *dentry = names->by_name.items[i];
        if (dentry->node && !dentry->made)
            continue;
        uint32_t entry = directory_lower_entry(names, dentry->name);
        if (entry != LOWER_NONE) {
            live--;
            subdirectories -= lower_entry(tree, entry)->type == ENTRY_DIRECTORY;
        }
        if (dentry->node) {
            live++;
            subdirectories += node_is_directory(dentry->node);
        }
    }
    names->live = live;
    node_set_nlink(directory, 2 + subdirectories);
}

/* Counts a name; a directory is appended to the queue. */
static int count_link(struct node *parent, struct node *node, struct node ***ret_tail)
{
    node->nlink++;
    if (!node_is_directory(node))
        return 0;
    if (node->nlink > 1)
        return -EBADMSG;
    node->parent = parent;
    *(*ret_tail)++ = node;
    return 0;
}

static int count_links(struct session *session, struct node **queue)
{
    struct node **tail = queue;
    int r = count_link(NULL, session->root, &tail);
    for (struct node **at = queue; at < tail; at++) {
        const struct directory *names = (*at)->directory;
        for (size_t i = 0; r == 0 && i < names->by_name.count; i++)
            if (names->by_name.items[i]->node)
                r = count_link(*at, names->by_name.items[i]->node, &tail);
    }
    return r;
}

static int finish_tree(struct session *session)
{
    struct node *node;
    size_t directories = 0;
    LIST_FOREACH(node, &session->nodes, all)
    {
        node->nlink = 0;
        directories += node_is_directory(node);
    }
    AUTO_FREE struct node **queue = calloc(directories + 1, sizeof(struct node *));
    if (!queue)
        return -ENOMEM;
    int r = count_links(session, queue);
    if (r < 0)
        return r;
    struct node *next;
    for (node = LIST_FIRST(&session->nodes); node; node = next) {
        next = LIST_NEXT(node, all);
        if (node->nlink == 0)
            node_free(node);
        else if (node_is_directory(node))
            count_names(node);
        else
            node_set_nlink(node, node->nlink);
    }
    return 0;
}

struct claim {
    struct recovery *recovery;
    struct node *node;
    uint32_t runs;       /* that were claimed */
    uint32_t to_release; /* runs still to be released after a failure */
    int error;
};

static void claim_run(fileblock_t at, uint32_t count, block_t block, void *context)
{
    struct claim *claim = context;
    if (claim->error || block >= BLOCK_LIMIT)
        return;
    const struct session *session = claim->node->session;
    struct block_tag tag = extents_tag(claim->node, at);
    claim->error = session->rewrite_log
                       ? blocks_adopt(session->blocks, block, count, &tag, &claim->recovery->rival)
                       : blocks_claim(session->blocks, block, count, &tag);
    if (claim->error)
        return;
    claim->runs++;
    claim->node->stored_blocks += count;
    if (claim->node->unlimited)
        return;
    atomic_fetch_add(&claim->node->session->stored_blocks, count);
    atomic_fetch_add(&claim->node->session->list->stored_blocks, count);
}

static void unclaim_run(fileblock_t at UNUSED, uint32_t count, block_t block, void *context)
{
    struct claim *claim = context;
    if (block >= BLOCK_LIMIT || claim->to_release == 0)
        return;
    claim->to_release--;
    blocks_release(claim->node->session->blocks, block, count);
    if (!claim->node->unlimited)
        atomic_fetch_sub(&claim->node->session->list->stored_blocks, count);
}

/* Claims all of the session's blocks, or none and returns an error. */
static int claim_blocks(struct recovery *recovery, struct session *session)
{
    struct node *node;
    struct node *failed = NULL;
    int error = 0;
    LIST_FOREACH(node, &session->nodes, all)
    {
        if (!S_ISREG(node->type))
            continue;
        struct claim claim = {.recovery = recovery, .node = node};
        blockmap_each(&node->map, 0, claim_run, &claim);
        if (!claim.error)
            continue;
        failed = node;
        error = claim.error;
        claim.to_release = claim.runs;
        blockmap_each(&node->map, 0, unclaim_run, &claim);
        break;
    }
    if (!failed)
        return 0;
    LIST_FOREACH(node, &session->nodes, all)
    {
        if (node == failed)
            break;
        struct claim claim = {.node = node, .to_release = UINT32_MAX};
        if (S_ISREG(node->type))
            blockmap_each(&node->map, 0, unclaim_run, &claim);
    }
    return error;
}

struct keeping {
    struct recovery *recovery;
    struct session_header header;
};

static int keep_header(const struct session_header *header, void *context)
{
    struct keeping *keeping = context;
    keeping->header = *header;
    return 0;
}

static int keep_extent(const struct extent_record *record, void *context)
{
    struct keeping *keeping = context;
    struct blocks *blocks = keeping->recovery->blocks;
    struct block_tag tag = {.owner = keeping->header.owner, .node = record->node};
    if (record->block >= BLOCK_LIMIT || !blocks_exist(blocks, record->block, record->count))
        return 0;
    /* One by one, since some that the session has released may belong to another one. */
    for (uint32_t i = 0; i < record->count; i++) {
        tag.at = record->at + i;
        int r = keeping->header.is_old
                    ? blocks_adopt(blocks, record->block + i, 1, &tag, &keeping->recovery->rival)
                    : blocks_claim(blocks, record->block + i, 1, &tag);
        if (r < 0 && r != -EBADMSG)
            return r;
    }
    return 0;
}

int session_keep_blocks(struct recovery *recovery)
{
    static const struct changelog_visitor visitor = {.header = keep_header, .extent = keep_extent};
    struct keeping keeping = {.recovery = recovery};
    AUTO_FD int fd = changelog_open_to_read(recovery->dirfd, recovery->name);
    uint64_t size;
    int r = fd < 0 ? fd : changelog_replay(fd, &visitor, &keeping, &size);
    return r < 0 ? r : 0;
}

static int recover(struct replay *replay)
{
    static const struct changelog_visitor visitor = {
        .header = replay_header,
        .template = replay_template,
        .identity = replay_identity,
        .node = replay_node,
        .extent = replay_extent,
        .link = replay_link,
        .unlink = replay_unlink,
    };
    const struct recovery *recovery = replay->recovery;
    AUTO_FD int fd = changelog_open_to_read(recovery->dirfd, recovery->name);
    if (fd < 0)
        return fd;
    uint64_t size;
    int is_cut = changelog_replay(fd, &visitor, replay, &size);
    if (is_cut < 0)
        return is_cut;
    int r = finish_tree(replay->session);
    if (r == 0)
        r = changelog_open(recovery->dirfd, recovery->name,
                           replay->session->rewrite_log ? 0 : replay->session->owner, size,
                           &replay->session->log);
    if (r < 0)
        return r;
    changelog_rest(replay->session->log);
    r = claim_blocks(replay->recovery, replay->session);
    return r < 0 ? r : is_cut;
}

int session_recover(struct recovery *recovery, struct session **ret_session)
{
    struct replay replay = {.recovery = recovery};
    int r = recover(&replay);
    struct known *entry;
    struct known *next;
    HASH_ITER (hh, replay.known, entry, next) {
        HASH_DEL(replay.known, entry);
        free(entry);
    }
    if (r < 0) {
        /* Not discarded, since its blocks are not claimed. */
        if (replay.session)
            session_unpin(replay.session);
        return r;
    }
    *ret_session = replay.session;
    return r;
}
