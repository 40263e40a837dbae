/*
 * fallocate(2) of a copy-on-write file.
 */
#ifndef MINTFS_OVERLAY_FALLOCATE_H
#define MINTFS_OVERLAY_FALLOCATE_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/node.h"

/* FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE and _ZERO_RANGE as in fallocate(2); others: -EOPNOTSUPP. */
MUST_CHECK int file_allocate(struct node *node, int mode, uint64_t offset, uint64_t length);

#endif
