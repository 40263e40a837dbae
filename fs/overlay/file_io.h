/*
 * Opening, reading and writing a copy-on-write file.
 */
#ifndef MINTFS_OVERLAY_FILE_IO_H
#define MINTFS_OVERLAY_FILE_IO_H

#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/node.h"

/* The template's file stays open between these two calls. */
MUST_CHECK int file_open(struct node *node);
void file_close(struct node *node);
/*
 * As file_open(). If the file is unchanged and was never open, warm() also gets the bytes that
 * sessions usually read of it (prefetch.h). The file's lock is held meanwhile, so no other thread
 * opens or changes the file: warm() may pass the bytes to the kernel, but must not wait for another
 * request.
 */
typedef void file_warmer(uint64_t offset, const void *bytes, size_t size, void *context);
MUST_CHECK int file_open_warm(struct node *node, file_warmer *warm, void *context);

/* Returns the count, which is less than `size` only at the end of the file. */
MUST_CHECK ssize_t file_read(struct node *node, void *buffer, size_t size, uint64_t offset);
/*
 * Writes all of it or returns an error. A block of the template is copied whole or not at all. When
 * there is no room (-ENOSPC, -EDQUOT) the file is unchanged.
 */
MUST_CHECK int file_write(struct node *node, const void *buffer, size_t size, uint64_t offset);

#endif
