/*
 * What a file shows:
 *
 *     state of a block          in the map       a read sees
 *     as in the template        BLOCK_ABSENT     template's bytes below lower_limit, zeros above
 *     changed, or new           storage          storage
 *     hole over the template    BLOCK_ZERO       zeros
 *
 * lower_limit is at first the size of the template's file. A truncation lowers it and nothing raises
 * it, so bytes that were cut off never come back.
 */
#ifndef MINTFS_OVERLAY_FILE_CONTENT_H
#define MINTFS_OVERLAY_FILE_CONTENT_H

#include "fs/overlay/overlay_internal.h"

/* All of it must be below the size limit; past the file's end the bytes are undefined. node.lock held. */
MUST_CHECK int file_read_range(struct node *node, char *buffer, size_t size, uint64_t offset);
/* The error for the program where storage is damaged (-EBADMSG): -EIO, with one message a session. */
int file_log_damage(const struct node *node, int r);

#endif
