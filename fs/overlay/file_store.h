/*
 * Copy on write: what is written to a file is stored in blocks of its own and recorded in the log.
 *
 * A block is always stored whole: the bytes that a write does not cover are copied from what the
 * file shows there (file_content.h). Past the file's end a stored block may contain anything, which
 * is zeroed when the file grows over it.
 */
#ifndef MINTFS_OVERLAY_FILE_STORE_H
#define MINTFS_OVERLAY_FILE_STORE_H

#include "fs/overlay/overlay_internal.h"

/*
 * Stores the blocks of [offset, end), with these bytes or (NULL) unchanged. The file's size becomes
 * at least size_bytes. session.changes and node.lock held.
 */
MUST_CHECK int file_store_range(struct node *node, const char *bytes, uint64_t offset, uint64_t end,
                                uint64_t size_bytes);
/* Extends the file with zeros, and records that. session.changes and node.lock held. */
MUST_CHECK int file_grow(struct node *node, uint64_t size_bytes);
/* Before the file grows: zeroes what stored blocks contain past its end. node.lock held. */
MUST_CHECK int file_zero_tail(struct node *node, uint64_t new_size_bytes);

/*
 * Records the time of the last change if the recorded time is off by more than the tolerance. If
 * that fails (on a full disk), only the time is lost. session.changes and node.lock held.
 */
void file_record_time(struct node *node, int64_t tolerance_ns);

#endif
