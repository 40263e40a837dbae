/*
 * Maps the blocks of one file to blocks of storage: a radix tree with a fanout of 16.
 *
 * A file with one changed page costs a few hundred bytes of memory, whatever its size. Not safe
 * from several threads: the file's lock guards it.
 */
#ifndef MINTFS_OVERLAY_BLOCKMAP_H
#define MINTFS_OVERLAY_BLOCKMAP_H

#include <stdint.h>

#include "fs/overlay/blocks.h"

struct blockmap {
    void *root;
    unsigned height; /* levels of the tree; 0: empty */
};

/* A block of a file, numbered from 0. Offsets beyond 16 TiB cannot be represented. */
typedef uint32_t fileblock_t;
#define FILE_SIZE_LIMIT_BYTES ((uint64_t)BLOCK_LIMIT * BLOCK_SIZE_BYTES)

/* The block that contains the offset. */
static inline fileblock_t block_of(uint64_t offset_bytes)
{
    return (fileblock_t)(offset_bytes / BLOCK_SIZE_BYTES);
}

/* The offset rounded up to the start of a block. */
static inline uint64_t block_round_up(uint64_t offset_bytes)
{
    return (offset_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void blockmap_free(struct blockmap *map);

/* BLOCK_ABSENT if nothing was set there. */
block_t blockmap_get(const struct blockmap *map, fileblock_t at);

/*
 * Returns how many blocks from `at` on, at most `limit`, are alike: all absent, all zero, or
 * consecutive blocks of storage. *ret_block is the first one's.
 */
uint32_t blockmap_run(const struct blockmap *map, fileblock_t at, uint32_t limit,
                      block_t *ret_block);

/* Allocates what setting these blocks needs, so that blockmap_set() cannot fail. */
MUST_CHECK int blockmap_reserve(struct blockmap *map, fileblock_t at, uint32_t count);
/*
 * Sets `count` blocks to block, block + 1, ... (or all to BLOCK_ZERO or BLOCK_ABSENT). They must be
 * reserved, except for BLOCK_ABSENT.
 */
void blockmap_set(struct blockmap *map, fileblock_t at, uint32_t count, block_t block);

/* Makes all blocks from `from` on absent. */
void blockmap_cut(struct blockmap *map, fileblock_t from);

/* Calls visit for each run of blocks that are not absent, from `from` on, in order. */
typedef void blockmap_visitor(fileblock_t at, uint32_t count, block_t block, void *context);
void blockmap_each(const struct blockmap *map, fileblock_t from, blockmap_visitor *visit,
                   void *context);

#endif
