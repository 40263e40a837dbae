/*
 * The stopper: a thread that waits for a reason to end the mount, and ends it. See stop.c.
 */
#ifndef MINTFS_MOUNT_STOP_H
#define MINTFS_MOUNT_STOP_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"

/*
 * To be called before any thread is started, so that only the stopper receives the signals that ask
 * the daemon to stop.
 */
void stopper_block_signals(void);
/* Starts the stopper. To be called by the thread that will run the loop. Errors are logged. */
MUST_CHECK int stopper_start(struct server *server);
/* Waits for the stopper. To be called after the loop has ended. */
void stopper_end(struct server *server);

#endif
