/*
 * The file `owners` of a scratch: which session each block of the storage file belongs to, and a
 * checksum of the block's bytes.
 *
 * Each change log names the blocks of its session. A log that has lost its end, or an old copy of
 * one, also names blocks that have since been given to other sessions. So every block has a tag
 * here (the session, the file, the place in the file), which is written before the block's bytes
 * are, and recovery accepts a log's claim only where the tag agrees. Damage to the storage file
 * itself is found by the checksum when the block is read.
 *
 * A block that a killed daemon was overwriting has either its old or its new bytes. The file has
 * the checksums of both, and they are written before the bytes. Nothing is synced.
 *
 * Layout: a header of OWNER_SIZE_BYTES, then one struct owner_disk for each block, in the byte
 * order of the machine. A block whose entry is zeros, or past the end of the file, has no owner.
 *
 * Safe from several threads, as long as no two access the same block while one of them writes it.
 * Its lock is innermost.
 */
#ifndef MINTFS_OVERLAY_OWNERS_H
#define MINTFS_OVERLAY_OWNERS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

enum { BLOCK_SIZE_BYTES = 4096 };

/* A block of the storage file. BLOCK_ABSENT and BLOCK_ZERO are values in block maps and logs. */
typedef uint32_t block_t;
#define BLOCK_ABSENT ((block_t)0xffffffff)
#define BLOCK_ZERO ((block_t)0xfffffffe)
#define BLOCK_LIMIT ((block_t)0xfffffff0)

/* Whose bytes a run of blocks holds: those of the file's blocks from `at` on. */
struct block_tag {
    uint64_t owner; /* session.owner; never 0 */
    uint32_t node;
    uint32_t at;
};

struct owners;

/*
 * On success it owns the descriptor. An empty file gets a header, and so does one whose header is
 * damaged (with a message). -EPROTONOSUPPORT: a later version wrote the file.
 */
MUST_CHECK int owners_open(int fd, struct owners **ret_owners);
void owners_free(struct owners *owners);

/* To be called before whole blocks that have just been taken are written. */
MUST_CHECK int owners_note_fresh(struct owners *owners, block_t first, uint32_t count,
                                 const struct block_tag *tag, const void *bytes);
/*
 * To be called before blocks are overwritten in place. `sums` are the checksums of the new bytes
 * (owners_sum()); storage_fd is the storage file, which still has the old bytes.
 */
MUST_CHECK int owners_note_change(struct owners *owners, block_t first, uint32_t count,
                                  const struct block_tag *tag, const uint32_t *sums,
                                  int storage_fd);
/*
 * To be called afterwards: the bytes are written, or (sums NULL) it is not known which of them are.
 */
void owners_learn(struct owners *owners, block_t first, uint32_t count, const uint32_t *sums);

/* 0 if these bytes are what was written to the block, else -EBADMSG. */
MUST_CHECK int owners_check(struct owners *owners, block_t block, const void *bytes);

/* For recovery: 0 if all of the blocks have this tag, else -EBADMSG. */
MUST_CHECK int owners_confirm(struct owners *owners, block_t first, uint32_t count,
                              const struct block_tag *tag);
/*
 * The same for a log of an older version: blocks without a tag get one. -EBADMSG: one of them
 * belongs to another session, whose owner is then *ret_rival.
 */
MUST_CHECK int owners_adopt(struct owners *owners, block_t first, uint32_t count,
                            const struct block_tag *tag, uint64_t *ret_rival);

/* Empties the table, when no block belongs to a session. */
MUST_CHECK int owners_clear(struct owners *owners);

/*
 * The checksum of one block: the low half of XXH3's 64 bits (xxhash 0.8), or 1 instead of 0. It
 * detects damage, not forgery.
 */
uint32_t owners_sum(const void *bytes);

#endif
