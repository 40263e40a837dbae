/*
 * Opening, reading and writing a copy-on-write file.
 */
#ifndef MINTFS_OVERLAY_FILE_IO_H
#define MINTFS_OVERLAY_FILE_IO_H

#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/node.h"

/* Between these the template's file stays open. */
MUST_CHECK int file_open(struct node *node);
void file_close(struct node *node);
/*
 * As file_open(); and if the file is as in the template and never was open, warm() gets the bytes
 * that sessions read of it (prefetch.h). The file's lock is held meanwhile: nobody else opens, changes or
 * cuts it, so warm() may hand the bytes to the kernel, but must not wait for anybody here.
 */
typedef void file_warmer(uint64_t offset, const void *bytes, size_t size, void *context);
MUST_CHECK int file_open_warm(struct node *node, file_warmer *warm, void *context);

/* The count, less than size only at the end of the file. */
MUST_CHECK ssize_t file_read(struct node *node, void *buffer, size_t size, uint64_t offset);
/*
 * All of it or an error. A block of the template is copied whole or not at all; when there is no
 * room (-ENOSPC, -EDQUOT) the file is as it was.
 */
MUST_CHECK int file_write(struct node *node, const void *buffer, size_t size, uint64_t offset);

#endif
