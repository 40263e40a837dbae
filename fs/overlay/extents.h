/*
 * The storage of a file: blocks are taken for it and given back, within the limits of its session and
 * of the scratch.
 */
#ifndef MINTFS_OVERLAY_EXTENTS_H
#define MINTFS_OVERLAY_EXTENTS_H

#include "fs/overlay/overlay_internal.h"

/*
 * Takes up to `want` blocks in a row: *ret_first, and the count, at least 1. -ENOSPC at a limit. It is
 * never -EDQUOT, which SQLite reports as an I/O error instead of a full disk.
 */
MUST_CHECK int extents_take(struct node *node, uint32_t want, block_t *ret_first);
void extents_give_back(struct node *node, block_t first, uint32_t count);
/* The tag of the file's blocks from `at` on. */
struct block_tag extents_tag(const struct node *node, fileblock_t at);

/* A blockmap_visitor: gives back what storage a run has. The map is the caller's. */
void extents_release_run(fileblock_t at, uint32_t count, block_t block, void *node);
/* Gives back all of it. node.lock held, or no other thread has the node. */
void extents_release_all(struct node *node);
/* Sets the file's size; what a shorter file does not reach is given back. node.lock held. */
void extents_set_size(struct node *node, uint64_t size_bytes, uint64_t lower_limit_bytes);

#endif
