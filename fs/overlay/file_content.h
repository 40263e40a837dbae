/*
 * What a file shows:
 *
 *     state of a block          in the map       a read sees
 *     as in the template        BLOCK_ABSENT     template's bytes below lower_limit, zeros above
 *     changed, or new           storage          storage
 *     hole over the template    BLOCK_ZERO       zeros
 *
 * lower_limit is at first the size of the template's file. A truncation lowers it and nothing
 * raises it, so bytes that were cut off never reappear.
 */
#ifndef MINTFS_OVERLAY_FILE_CONTENT_H
#define MINTFS_OVERLAY_FILE_CONTENT_H

#include "fs/overlay/overlay_internal.h"

/*
 * The range must be below FILE_SIZE_LIMIT_BYTES. Bytes past the file's end are undefined. node.lock
 * held.
 */
MUST_CHECK int file_read_range(struct node *node, char *buffer, size_t size, uint64_t offset);
/*
 * Translates -EBADMSG (storage is damaged) to -EIO for the program, and logs it once per session.
 * Other results are returned as they are.
 */
int file_log_damage(const struct node *node, int r);

#endif
