/*
 * Which blocks of one template file sessions ask for, learnt from their reads, so that the mount
 * can put just those into the page cache of a fresh session's file: a page that is there already
 * saves its READ, and the GETATTR that follows for the access time.
 *
 * A page handed over costs about a fifth of a READ, so only what nearly every session reads is
 * worth it: a block that two sessions in a row have asked for is expected from the next few, and
 * from ever more of them each time it proves right. What is handed over is not asked for, so
 * nothing is known of its use then: that is why each promise ends.
 *
 * Safe from several threads.
 */
#ifndef MINTFS_OVERLAY_PREFETCH_H
#define MINTFS_OVERLAY_PREFETCH_H

#include <stddef.h>

#include "fs/overlay/blockmap.h"

enum { PREFETCH_BLOCKS_MAX = 192 };

struct prefetch;

/* NULL without memory; prefetch_note() and prefetch_pick() take that for "nothing is known". */
struct prefetch *prefetch_new(void);
void prefetch_free(struct prefetch *prefetch);

/* A session has asked for these. */
void prefetch_note(struct prefetch *prefetch, fileblock_t first, uint32_t count);

/* One session more begins: what it is expected to read, in order. Returns how many. */
size_t prefetch_pick(struct prefetch *prefetch, fileblock_t ret_blocks[PREFETCH_BLOCKS_MAX]);

#endif
