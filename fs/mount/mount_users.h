/*
 * Who uses a mount, and which other mount namespaces have a copy of it.
 *
 * A mount namespace (a container, a service, `unshare -m`) begins with a copy of each mount of the
 * namespace that it was made from. To unmount one of them leaves the others, and with them the
 * kernel's side of the mount, until the last process in the other namespace has ended.
 */
#ifndef MINTFS_MOUNT_MOUNT_USERS_H
#define MINTFS_MOUNT_MOUNT_USERS_H

#include <sys/types.h>

#include "fs/base/cleanup.h"

/* "name (pid), name (pid)" of the processes that use what is at `path`; NULL: none is known. */
char *mount_users(const char *path);

/*
 * The same for the other mount namespaces in which the file system `device` is mounted: the first
 * process in each. NULL: none is known.
 */
char *mount_holders(dev_t device);

/* Opens the mount of `device` in another mount namespace. The descriptor, or -ENOENT. */
MUST_CHECK int mount_open_elsewhere(dev_t device);

#endif
