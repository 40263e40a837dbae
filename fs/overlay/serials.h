/*
 * Serials of sessions: each is given out once in the life of a scratch, whatever happens to its daemon.
 * The file `serials` has the first one that was never set aside, in decimal digits.
 *
 * Not safe from several threads: the caller's lock guards it.
 */
#ifndef MINTFS_OVERLAY_SERIALS_H
#define MINTFS_OVERLAY_SERIALS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

struct serials {
    int fd;
    uint64_t next;
    uint64_t end; /* up to here they are set aside */
};

/* Opens the file below dirfd; to be closed even after an error. */
MUST_CHECK int serials_open(int dirfd, struct serials *ret_serials);
void serials_close(struct serials *serials);

/* -EMFILE when all are used up. */
MUST_CHECK int serials_take(struct serials *serials, uint64_t *ret_serial);
/* A session has this one already: the next is greater. */
void serials_skip(struct serials *serials, uint64_t serial);

#endif
