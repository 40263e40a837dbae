/*
 * Serials of sessions. Each is used once in the life of a scratch, even if its daemon is killed:
 * the file `serials` has, in decimal digits, the first serial that has not been set aside for a
 * daemon.
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
    uint64_t end; /* serials below this one are set aside */
};

/* Opens the file below dirfd. *ret_serials must be closed even after an error. */
MUST_CHECK int serials_open(int dirfd, struct serials *ret_serials);
void serials_close(struct serials *serials);

/* -EMFILE when all are used up. */
MUST_CHECK int serials_take(struct serials *serials, uint64_t *ret_serial);
/* To be called if a session already has this serial: later ones are greater. */
void serials_skip(struct serials *serials, uint64_t serial);

#endif
