/*
 * Unmounting a mount that nobody uses: the thread for `mintfs mount -o idle=T`.
 *
 * After idle_seconds without a request it tries a plain unmount, which fails while the mount is in
 * use. It does not try while a session has a lease (an owner or a time to live): a test that
 * computes for ten minutes must find its database where it was. It is not known whether a session
 * without a lease is still wanted. If there is one, the thread waits longer; the next mount shows
 * the session again.
 */
#ifndef MINTFS_MOUNT_IDLE_H
#define MINTFS_MOUNT_IDLE_H

#include "fs/base/cleanup.h"

struct server;

/* Does nothing if idle_seconds is 0. Errors are logged. */
MUST_CHECK int idle_start(struct server *server);
void idle_stop(struct server *server);
/* To be called when a session has ended by its lease: perhaps nothing keeps the mount any more. */
void idle_wake(struct server *server);

#endif
