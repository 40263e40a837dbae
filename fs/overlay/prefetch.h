/*
 * Learns from the reads of sessions which blocks of a template file nearly every session reads, so
 * that the mount can put these into the page cache when a new session opens the file. A page that
 * is in the cache saves its READ, and the GETATTR that follows for the access time.
 *
 * Putting a page into the cache costs about a fifth of a READ, so it pays only for blocks that
 * nearly every session reads. A block that two sessions in a row have read is handed to the next
 * few sessions, and to twice as many each time it is read again after that. Whether a session uses
 * a block that it was handed cannot be seen, so the block must prove itself by a READ from time to
 * time.
 *
 * Safe from several threads.
 */
#ifndef MINTFS_OVERLAY_PREFETCH_H
#define MINTFS_OVERLAY_PREFETCH_H

#include <stddef.h>

#include "fs/overlay/blockmap.h"

enum { PREFETCH_BLOCKS_MAX = 192 };

struct prefetch;

/* NULL if out of memory, which the functions below accept: nothing is known then. */
struct prefetch *prefetch_new(void);
void prefetch_free(struct prefetch *prefetch);

/* A session has read these blocks. */
void prefetch_note(struct prefetch *prefetch, fileblock_t first, uint32_t count);

/* Another session begins: the blocks that it will probably read, in order. Returns how many. */
size_t prefetch_pick(struct prefetch *prefetch, fileblock_t ret_blocks[PREFETCH_BLOCKS_MAX]);

#endif
