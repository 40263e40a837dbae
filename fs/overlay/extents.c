#include "fs/overlay/extents.h"

/* Counts up to `want` more blocks within a limit (0: none), and returns how many. */
static uint32_t charge(atomic_uint_least64_t *stored, uint64_t limit, uint32_t want)
{
    uint64_t before = atomic_load(stored);
    uint32_t granted;
    do {
        uint64_t left = limit > before ? limit - before : 0;
        granted = limit ? (uint32_t)min_u64(want, left) : want;
    } while (!atomic_compare_exchange_weak(stored, &before, before + granted));
    return granted;
}

int extents_take(struct node *node, uint32_t want, block_t *ret_first)
{
    struct session *session = node->session;
    struct session_list *list = session->list;
    if (node->unlimited)
        return blocks_take(session->blocks, want, ret_first);
    uint32_t granted = charge(&session->stored_blocks, session->limit_blocks, want);
    if (granted == 0)
        return -ENOSPC;
    uint32_t granted_by_all = charge(&list->stored_blocks, list->limit_blocks, granted);
    int count = granted_by_all ? blocks_take(session->blocks, granted_by_all, ret_first) : -ENOSPC;
    uint32_t taken = count > 0 ? (uint32_t)count : 0;
    atomic_fetch_sub(&list->stored_blocks, granted_by_all - taken);
    atomic_fetch_sub(&session->stored_blocks, granted - taken);
    return count;
}

void extents_release(struct node *node, block_t first, uint32_t count)
{
    blocks_release(node->session->blocks, first, count);
    if (node->unlimited)
        return;
    atomic_fetch_sub(&node->session->stored_blocks, count);
    atomic_fetch_sub(&node->session->list->stored_blocks, count);
}

struct block_tag extents_tag(const struct node *node, fileblock_t at)
{
    return (struct block_tag){.owner = node->session->owner, .node = node->number, .at = at};
}

void extents_release_run(fileblock_t at UNUSED, uint32_t count, block_t block, void *context)
{
    struct node *node = context;
    if (block >= BLOCK_LIMIT)
        return;
    extents_release(node, block, count);
    node->stored_blocks -= count;
}

void extents_release_all(struct node *node)
{
    blockmap_each(&node->map, 0, extents_release_run, node);
    blockmap_free(&node->map);
}

void extents_set_size(struct node *node, uint64_t size_bytes, uint64_t lower_limit_bytes)
{
    bool shorter = size_bytes < node->size_bytes;
    node->size_bytes = size_bytes;
    node->lower_limit_bytes = lower_limit_bytes;
    if (!shorter)
        return;
    if (size_bytes == 0) {
        extents_release_all(node);
        return;
    }
    fileblock_t from = block_of(block_round_up(size_bytes));
    blockmap_each(&node->map, from, extents_release_run, node);
    blockmap_cut(&node->map, from);
}
