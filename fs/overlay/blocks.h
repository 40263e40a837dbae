/*
 * The storage of a scratch: one sparse file of 4 KiB blocks, shared by all its sessions.
 *
 * A session's change log (changelog.h) records which blocks it has; holes in the file have no
 * meaning. The file `owners` (owners.h) records the owner of each block and its checksum. This
 * module knows, in memory, which blocks are taken. The lowest free blocks are handed out first, so
 * the journal of the next transaction reuses the blocks of the last one. blocks_trim() returns free
 * storage to the file system; no request waits for it.
 *
 * Safe from several threads. Its lock is taken after a session's, and before that of owners.h.
 */
#ifndef MINTFS_OVERLAY_BLOCKS_H
#define MINTFS_OVERLAY_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/owners.h"

struct blocks;

/* On success it owns the storage file's descriptor and the table. All blocks are free at first. */
MUST_CHECK int blocks_new(int fd, struct owners *owners, struct blocks **ret_blocks);
void blocks_free(struct blocks *blocks);

/*
 * Takes up to `want` consecutive free blocks: returns the count, at least 1, and the first one.
 * -ENOSPC if the file has reached its maximum size.
 */
MUST_CHECK int blocks_take(struct blocks *blocks, uint32_t want, block_t *ret_first);

/*
 * Whether the storage file contained these blocks when it was opened. A log that names others is
 * damaged or forged.
 */
bool blocks_exist(struct blocks *blocks, block_t first, uint32_t count);

/*
 * For recovery: marks the blocks that a log claims as taken, all or none. -EBADMSG if one is
 * already taken, is past the end of the file (blocks are written before they are logged), or has
 * another tag. The log is then damaged, or an older copy of itself.
 */
MUST_CHECK int blocks_claim(struct blocks *blocks, block_t first, uint32_t count,
                            const struct block_tag *tag);
/* The same for a log of an older version, whose blocks may have no tags yet: see owners_adopt(). */
MUST_CHECK int blocks_adopt(struct blocks *blocks, block_t first, uint32_t count,
                            const struct block_tag *tag, uint64_t *ret_rival);

/* Releases blocks. Before this, the log must have recorded that the session no longer has them. */
void blocks_release(struct blocks *blocks, block_t first, uint32_t count);

/* -EBADMSG: the bytes differ from what was written there. */
MUST_CHECK int blocks_read(struct blocks *blocks, block_t first, uint32_t within, void *buffer,
                           size_t size);
/* Writes whole blocks that have just been taken; their tag is written first. */
MUST_CHECK int blocks_write_fresh(struct blocks *blocks, block_t first, uint32_t count,
                                  const struct block_tag *tag, const void *bytes);
/*
 * Overwrites in place; the tag is that of `first`. -EBADMSG: a block that would keep some of its
 * bytes is damaged.
 */
MUST_CHECK int blocks_write(struct blocks *blocks, block_t first, uint32_t within,
                            const struct block_tag *tag, const void *buffer, size_t size);

/* Whether enough is free for a blocks_trim() to be worthwhile. Cheap. */
bool blocks_wants_trim(struct blocks *blocks);
/*
 * Returns the storage of free blocks to the file system, the longest runs first. This is slow if
 * they are scattered (ext4 mounted with discard punches about 8,000 holes a second), so it ends
 * after `budget_ns`, or as soon as *stop is set (NULL: never). The next trim continues.
 */
void blocks_trim(struct blocks *blocks, int64_t budget_ns, const atomic_bool *stop);

/* For a full disk: trims for up to a second. False if there was nothing to return. */
MUST_CHECK bool blocks_make_room(struct blocks *blocks);

uint64_t blocks_taken(struct blocks *blocks);

#endif
