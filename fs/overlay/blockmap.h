/*
 * Which block of storage holds which block of one overlaid file: a radix tree, fanout 16.
 *
 * A file of one changed page costs a few hundred bytes, whatever its size. Not locked: the file's
 * lock guards it.
 */
#ifndef MINTFS_OVERLAY_BLOCKMAP_H
#define MINTFS_OVERLAY_BLOCKMAP_H

#include <stdint.h>

#include "fs/overlay/blocks.h"

struct blockmap {
    void *root;
    unsigned height; /* levels of the tree; 0: empty */
};

/* Blocks of a file are numbered from 0; offsets beyond 16 TiB are not representable. */
typedef uint32_t fileblock_t;
#define FILE_SIZE_LIMIT_BYTES ((uint64_t)BLOCK_LIMIT * BLOCK_SIZE_BYTES)

/* The block that an offset lies in. */
static inline fileblock_t block_of(uint64_t offset_bytes)
{
    return (fileblock_t)(offset_bytes / BLOCK_SIZE_BYTES);
}

/* The offset where the next block begins, or this one if it does here. */
static inline uint64_t block_round_up(uint64_t offset_bytes)
{
    return (offset_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void blockmap_free(struct blockmap *map);

/* BLOCK_ABSENT where nothing was set. */
block_t blockmap_get(const struct blockmap *map, fileblock_t at);

/*
 * How many blocks from `at`, at most `limit`, are alike: all absent, all zero, or storage in a
 * row. *ret_block is that of `at`.
 */
uint32_t blockmap_run(const struct blockmap *map, fileblock_t at, uint32_t limit,
                      block_t *ret_block);

/* Makes room so that setting these cannot fail. */
MUST_CHECK int blockmap_reserve(struct blockmap *map, fileblock_t at, uint32_t count);
/* Sets count blocks to block, block + 1, ... (or all to BLOCK_ZERO or BLOCK_ABSENT). Reserved
 * first. */
void blockmap_set(struct blockmap *map, fileblock_t at, uint32_t count, block_t block);

/* Makes all blocks from `from` on absent. */
void blockmap_cut(struct blockmap *map, fileblock_t from);

/* Calls visit for each run of blocks that are not absent, from `from` on, in order. */
typedef void blockmap_visitor(fileblock_t at, uint32_t count, block_t block, void *context);
void blockmap_each(const struct blockmap *map, fileblock_t from, blockmap_visitor *visit,
                   void *context);

#endif
