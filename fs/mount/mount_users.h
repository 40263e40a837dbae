/*
 * Which processes use a mount, and which other mount namespaces have a copy of it.
 *
 * A new mount namespace (a container, a service, `unshare -m`) starts with a copy of each mount of
 * the namespace that it was created from. Unmounting one copy leaves the others, and with them the
 * kernel's side of the mount, until the last process in the other namespace has ended.
 */
#ifndef MINTFS_MOUNT_MOUNT_USERS_H
#define MINTFS_MOUNT_MOUNT_USERS_H

#include <sys/types.h>

#include "fs/base/cleanup.h"

/*
 * The processes that use the mount at `path`, as "name (pid), name (pid)", to be freed by the
 * caller. NULL: none is known.
 */
char *mount_users(const char *path);

/*
 * The same text for the other mount namespaces in which the file system `device` is mounted: one
 * process of each. NULL: none is known.
 */
char *mount_holders(dev_t device);

/* Opens the mount of `device` in another mount namespace: a descriptor, or -ENOENT. */
MUST_CHECK int mount_open_elsewhere(dev_t device);

#endif
