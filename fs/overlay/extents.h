/*
 * The storage of a file: takes and releases blocks, within the limits of its session and of the
 * scratch.
 */
#ifndef MINTFS_OVERLAY_EXTENTS_H
#define MINTFS_OVERLAY_EXTENTS_H

#include "fs/overlay/overlay_internal.h"

/*
 * Takes up to `want` consecutive blocks: returns the count, at least 1, and the first one. -ENOSPC
 * at a limit, never -EDQUOT, which SQLite would report as an I/O error instead of a full disk.
 */
MUST_CHECK int extents_take(struct node *node, uint32_t want, block_t *ret_first);
void extents_release(struct node *node, block_t first, uint32_t count);
/* The tag of the file's blocks from `at` on. */
struct block_tag extents_tag(const struct node *node, fileblock_t at);

/*
 * A blockmap_visitor that releases the storage of a run, if it has any. The caller updates the map.
 */
void extents_release_run(fileblock_t at, uint32_t count, block_t block, void *node);
/* Releases all storage. node.lock held, or no other thread has the node. */
void extents_release_all(struct node *node);
/* Sets the file's size, and releases what is past a smaller size. node.lock held. */
void extents_set_size(struct node *node, uint64_t size_bytes, uint64_t lower_limit_bytes);

#endif
