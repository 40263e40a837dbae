/*
 * Storage for overlays: one sparse file of 4 KiB blocks, shared by all sessions of a scratch.
 *
 * Which blocks a session has is recorded in its change log (changelog.h), never guessed from
 * holes; whose a block is, and its checksum, in the file `owners` (owners.h). Here only which blocks
 * are taken is kept, in memory. Free blocks are handed out lowest first, so that the journal of the
 * next transaction gets the blocks of the last one. Storage is returned to the file system in
 * blocks_trim(), away from the path of a request.
 *
 * Safe from several threads at once. Its lock is the innermost of all.
 */
#ifndef MINTFS_OVERLAY_BLOCKS_H
#define MINTFS_OVERLAY_BLOCKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/owners.h"

struct blocks;

/* The storage file's descriptor and the table are taken over on success; all blocks count as free
 * at first. */
MUST_CHECK int blocks_new(int fd, struct owners *owners, struct blocks **ret_blocks);
void blocks_free(struct blocks *blocks);

/*
 * Takes up to `want` free blocks that lie in a row: *ret_first and the count, at least 1.
 * -ENOSPC when the file is as large as it may grow.
 */
MUST_CHECK int blocks_take(struct blocks *blocks, uint32_t want, block_t *ret_first);

/* Whether the storage file reaches that far: a record of blocks behind its end is a lie. */
bool blocks_exist(struct blocks *blocks, block_t first, uint32_t count);

/*
 * Recovery: marks blocks that a log claims as taken, all or none. -EBADMSG where one is taken
 * already, is behind the end of the file (it was written before the log told of it), or has
 * another tag: the log is damaged, or an older copy of itself.
 */
MUST_CHECK int blocks_claim(struct blocks *blocks, block_t first, uint32_t count,
                            const struct block_tag *tag);
/* The same for a log of an older version, whose blocks may have no tags yet; see owners_adopt(). */
MUST_CHECK int blocks_adopt(struct blocks *blocks, block_t first, uint32_t count,
                            const struct block_tag *tag, uint64_t *ret_rival);

/*
 * Gives blocks back. Whoever recovers must not find them claimed any more: the log says so before
 * this is called.
 */
void blocks_release(struct blocks *blocks, block_t first, uint32_t count);

/* -EBADMSG: the bytes are not those that were written there. */
MUST_CHECK int blocks_read(struct blocks *blocks, block_t first, uint32_t within, void *buffer,
                           size_t size);
/* Whole blocks that have just been taken: the tag is written first. */
MUST_CHECK int blocks_write_fresh(struct blocks *blocks, block_t first, uint32_t count,
                                  const struct block_tag *tag, const void *bytes);
/* In place; the tag is that of `first`. -EBADMSG: a block of which a part was to stay is damaged. */
MUST_CHECK int blocks_write(struct blocks *blocks, block_t first, uint32_t within,
                            const struct block_tag *tag, const void *buffer, size_t size);

/* Whether enough is free to be worth a blocks_trim(). Cheap. */
bool blocks_wants_trim(struct blocks *blocks);
/*
 * Returns the storage of free blocks to the file system, the longest runs first. That is slow where
 * they are scattered (ext4 mounted with discard punches some 8,000 holes a second), so it ends after
 * `budget_ns`, or as soon as *stop is set (NULL: never). What is left is for the next trim.
 */
void blocks_trim(struct blocks *blocks, int64_t budget_ns, const atomic_bool *stop);

/* On a full disk: some of it at once, within a second; false if there is nothing to return. */
MUST_CHECK bool blocks_make_room(struct blocks *blocks);

uint64_t blocks_taken(struct blocks *blocks);
int blocks_fd(const struct blocks *blocks);

#endif
