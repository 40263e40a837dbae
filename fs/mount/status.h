/*
 * The content of MNT/.mintfs/status.json; status.c lists its fields.
 */
#ifndef MINTFS_MOUNT_STATUS_H
#define MINTFS_MOUNT_STATUS_H

#include "fs/mount/server.h"

/* The text, to be freed by the caller; NULL when out of memory. */
char *status_text(struct server *server);

#endif
