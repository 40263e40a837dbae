/*
 * Which session each block of the storage file belongs to, and a checksum of the block's bytes: the
 * file `owners` of a scratch.
 *
 * The change logs name the blocks of their sessions. A log that has lost its end, or an old copy of
 * one, also names blocks that other sessions have been given since. So every block has a tag here
 * (the session, the file, the place in the file), which is written before the block's bytes are, and
 * recovery accepts a log's claim only where the tag agrees. Damage to the storage file itself is
 * found by the checksum when the block is read.
 *
 * A killed daemon leaves either the old or the new bytes of a block that it was overwriting, so the
 * file has both checksums: they are written before the bytes. Nothing is synced.
 *
 * Layout: a header of OWNER_SIZE_BYTES, then one struct owner_disk for each block, in the byte order
 * of the machine. A block without an entry (zeros, or behind the end of the file) has no owner.
 *
 * Safe from several threads, as long as nobody writes a block while another thread reads or writes
 * the same block. Its lock is innermost.
 */
#ifndef MINTFS_OVERLAY_OWNERS_H
#define MINTFS_OVERLAY_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

enum { BLOCK_SIZE_BYTES = 4096 };

/* A block of the storage file. BLOCK_ABSENT and BLOCK_ZERO stand in maps, never on disk. */
typedef uint32_t block_t;
#define BLOCK_ABSENT ((block_t)0xffffffff)
#define BLOCK_ZERO ((block_t)0xfffffffe)
#define BLOCK_LIMIT ((block_t)0xfffffff0)

/* What a run of blocks holds: the file's blocks from `at` on. */
struct block_tag {
    uint64_t owner; /* session.owner; never 0 */
    uint32_t node;
    uint32_t at;
};

struct owners;

/*
 * The file's descriptor is taken over on success; an empty file gets its header, and so does one
 * whose header is damaged (with a message). -EPROTONOSUPPORT: a later version wrote it.
 */
MUST_CHECK int owners_open(int fd, struct owners **ret_owners);
void owners_free(struct owners *owners);

/* Before whole blocks are written that have just been taken. */
MUST_CHECK int owners_note_fresh(struct owners *owners, block_t first, uint32_t count,
                                 const struct block_tag *tag, const void *bytes);
/*
 * Before blocks are overwritten in place. `sums` are those of the bytes to come (owners_sum()), and
 * storage_fd is the storage file, where the bytes are as they were.
 */
MUST_CHECK int owners_note_change(struct owners *owners, block_t first, uint32_t count,
                                  const struct block_tag *tag, const uint32_t *sums,
                                  int storage_fd);
/* After that: the bytes are written, or (sums NULL) it is not known which were. */
void owners_learn(struct owners *owners, block_t first, uint32_t count, const uint32_t *sums);

/* Whether these are the bytes that were written to the block: 0, or -EBADMSG. */
MUST_CHECK int owners_check(struct owners *owners, block_t block, const void *bytes);

/* Recovery: 0 if all of the blocks have this tag, else -EBADMSG. */
MUST_CHECK int owners_confirm(struct owners *owners, block_t first, uint32_t count,
                              const struct block_tag *tag);
/*
 * The same for a log of an older version, whose blocks may have no tags yet: those get one.
 * -EBADMSG: another session has one of them, whose owner is then *ret_rival.
 */
MUST_CHECK int owners_adopt(struct owners *owners, block_t first, uint32_t count,
                            const struct block_tag *tag, uint64_t *ret_rival);

/* When no block belongs to anybody. */
MUST_CHECK int owners_clear(struct owners *owners);

/* Of one block: the low half of XXH3's 64 bits (xxhash 0.8), or 1 for 0. It finds damage, not forgery. */
uint32_t owners_sum(const void *bytes);

#endif
