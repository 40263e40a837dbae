/*
 * Copy on write: changes of a file's bytes are stored in blocks of its own, and recorded in the log.
 *
 * A stored block is whole: 4 KiB, where the bytes that a write did not touch are copied from what the
 * file showed (file_content.h). Past the file's end a stored block may hold anything; that is zeroed
 * when the file grows over it.
 */
#ifndef MINTFS_OVERLAY_FILE_STORE_H
#define MINTFS_OVERLAY_FILE_STORE_H

#include "fs/overlay/overlay_internal.h"

/*
 * Stores [offset, end), with these bytes or (NULL) as it is; the size becomes at least size_bytes.
 * session.changes and node.lock held.
 */
MUST_CHECK int file_store_range(struct node *node, const char *bytes, uint64_t offset, uint64_t end,
                                uint64_t size_bytes);
/* Lengthens it, with zeros, and records that. node.lock held. */
MUST_CHECK int file_grow(struct node *node, uint64_t size_bytes);
/* Zeroes what stored blocks hold behind the end, before the file grows. node.lock held. */
MUST_CHECK int file_zero_tail(struct node *node, uint64_t new_size_bytes);

/*
 * Records the time of its last change, if the log tells it with an error of more than that. Where
 * that fails (a full disk), only the time is lost. session.changes and node.lock held.
 */
void file_record_time(struct node *node, int64_t tolerance_ns);

#endif
