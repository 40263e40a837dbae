/*
 * Storage for overlays: one sparse file of 4 KiB blocks, shared by all sessions of a scratch.
 *
 * Which block belongs to whom is recorded in the sessions' change logs (changelog.h), never
 * guessed from holes; here stands only which are taken. Free blocks are handed out lowest first,
 * so that the journal of the next transaction lies where the last one lay. Storage goes back to
 * the file system in blocks_trim(), away from the path of a request.
 *
 * Safe from several threads at once. Its lock is the innermost of all.
 */
#ifndef MINTFS_OVERLAY_BLOCKS_H
#define MINTFS_OVERLAY_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

enum { BLOCK_SIZE_BYTES = 4096 };

/* A block of the storage file. BLOCK_ABSENT and BLOCK_ZERO stand in maps, never on disk. */
typedef uint32_t block_t;
#define BLOCK_ABSENT ((block_t)0xffffffff)
#define BLOCK_ZERO ((block_t)0xfffffffe)
#define BLOCK_LIMIT ((block_t)0xfffffff0)

struct blocks;

/* The storage file's descriptor is taken over on success; all of its blocks count as free at
 * first. */
MUST_CHECK int blocks_new(int fd, struct blocks **ret_blocks);
void blocks_free(struct blocks *blocks);

/*
 * Takes up to `want` free blocks that lie in a row: *ret_first and the count, at least 1.
 * -ENOSPC when the file is as large as it may grow.
 */
MUST_CHECK int blocks_take(struct blocks *blocks, uint32_t want, block_t *ret_first);

/* Whether the storage file reaches that far: a record of blocks behind its end is a lie. */
bool blocks_exist(struct blocks *blocks, block_t first, uint32_t count);

/*
 * Recovery: marks blocks that a log claims as taken. -EBADMSG where one is taken already, or lies
 * behind the end of the file: it was written before the log told of it.
 */
MUST_CHECK int blocks_claim(struct blocks *blocks, block_t first, uint32_t count);

/*
 * Gives blocks back. Whoever recovers must not find them claimed any more: the log says so before
 * this is called.
 */
void blocks_release(struct blocks *blocks, block_t first, uint32_t count);

MUST_CHECK int blocks_read(struct blocks *blocks, block_t first, uint32_t within, void *buffer,
                           size_t size);
MUST_CHECK int blocks_write(struct blocks *blocks, block_t first, uint32_t within,
                            const void *buffer, size_t size);

/* Whether enough is free to be worth a blocks_trim(). Cheap. */
bool blocks_wants_trim(struct blocks *blocks);
/* Returns the storage of free blocks to the file system; slow. */
void blocks_trim(struct blocks *blocks);

/* On a full disk: the same, at once; false if there is nothing to return. */
MUST_CHECK bool blocks_make_room(struct blocks *blocks);

uint64_t blocks_taken(struct blocks *blocks);
int blocks_fd(const struct blocks *blocks);

#endif
