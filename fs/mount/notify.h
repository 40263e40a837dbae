/*
 * The thread that makes the kernel forget names and listings.
 *
 * It is a thread of its own because a notification from a handler, or with a lock held, can
 * deadlock with the kernel (https://libfuse.github.io/doxygen/, fuse_lowlevel_notify_inval_inode).
 */
#ifndef MINTFS_MOUNT_NOTIFY_H
#define MINTFS_MOUNT_NOTIFY_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"
#include "fs/mount/tree.h"

MUST_CHECK int notifier_start(struct server *server);
void notifier_stop(struct server *server);
/* A session_name_lost (fs/overlay/scratch.h): the kernel will forget the name. */
bool notifier_lose_name(struct node *directory, const char *name, void *server);
/* The kernel will drop its cached listing of templates/ or sessions/. */
void notifier_drop_listing(struct server *server, enum inode_kind kind);

#endif
