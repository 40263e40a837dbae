/*
 * Mount points: finds out what is mounted where, and whether its daemon lives; chooses, prepares
 * and unmounts a mount point.
 */
#ifndef MINTFS_MOUNT_MOUNTPOINT_H
#define MINTFS_MOUNT_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* The file system type in /proc/self/mountinfo. */
#define MOUNT_TYPE "fuse.mintfs"

enum mount_state {
    MOUNT_NONE,    /* nothing is mounted there */
    MOUNT_OURS,    /* mintfs, with a living daemon */
    MOUNT_STALE,   /* mintfs, a dead mount: its daemon has ended */
    MOUNT_FOREIGN, /* another file system */
};
/* `path` is absolute, without symbolic links. */
enum mount_state mountpoint_state(const char *path);

struct mountpoint_entry {
    const char *path; /* in the root directory of the process whose mounts are listed */
    const char *type;
    dev_t device; /* st_dev of its files; the same for all copies of the mount */
    uid_t owner;  /* the user who mounted it, if it is a FUSE mount; else -1 */
};
/*
 * Visits each mount of this namespace; of two at the same path, the upper one last. Stops when the
 * visitor returns non-zero, and returns that value.
 */
typedef int mountpoint_visitor(const struct mountpoint_entry *entry, void *context);
MUST_CHECK int mountpoint_each(mountpoint_visitor *visit, void *context);
/* The same for the mount namespace of a process. */
MUST_CHECK int mountpoint_each_of(int pid, mountpoint_visitor *visit, void *context);

/* The device of the topmost mount at `path`, if it is mintfs; else 0. */
dev_t mountpoint_device(const char *path);
/* Whether this namespace has a mintfs mount of that device; true if it cannot be determined. */
bool mountpoint_has_device(dev_t device);

/*
 * Whether mintfs is mounted at `path` in the mount namespace of process `pid`; true if it cannot be
 * determined.
 */
bool mountpoint_is_seen_by(int pid, const char *path);

/*
 * The path that mountpoint_default() uses, without creating or resolving it. *ret_in_tmp: it is in
 * /tmp, since the environment names none. -ENOMEM.
 */
MUST_CHECK int mountpoint_default_path(char **ret_path, bool *ret_in_tmp);

/*
 * The mount point if none is named, to be freed by the caller: $MINTFS_MOUNT, else
 * $XDG_RUNTIME_DIR/mintfs, else /tmp/mintfs-UID, which must belong to the user. Errors are logged.
 */
MUST_CHECK int mountpoint_default(char **ret_path);

/*
 * The absolute path, without symbolic links, to be freed by the caller. The path may be a dead
 * mount. Errors are logged.
 */
MUST_CHECK int mountpoint_resolve(const char *path, char **ret_path);

/*
 * Prepares an absolute path for a mount: creates the directory if it is missing, and removes a dead
 * mount of this user. Everything else is refused and logged: -ENOTDIR, -ENOTEMPTY, -EBUSY, -EINVAL
 * if one of the path and the store contains the other, -EPERM if the default directory is not the
 * user's alone.
 */
MUST_CHECK int mountpoint_prepare(const struct store *store, const char *path);

/*
 * Unmounts by umount2(2), or by fusermount3 for an ordinary user. -EBUSY while the mount is in use.
 * Errors are not logged.
 */
MUST_CHECK int mountpoint_unmount(const char *path);
/* Unmounts even if the mount is in use: it stays usable for those who use it (MNT_DETACH). */
MUST_CHECK int mountpoint_detach(const char *path);

#endif
