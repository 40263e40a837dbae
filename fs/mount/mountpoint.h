/*
 * Mount points: where one may be, whether one is ours, whether it is dead.
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
    MOUNT_NONE,    /* no mount there */
    MOUNT_OURS,    /* mintfs, and its daemon answers */
    MOUNT_STALE,   /* mintfs, and its daemon is gone */
    MOUNT_FOREIGN, /* something else */
};
/* `path` is absolute, without symbolic links. */
enum mount_state mountpoint_state(const char *path);

struct mountpoint_entry {
    const char *path; /* as the process sees it whose mounts they are */
    const char *type;
    dev_t device; /* st_dev of the files on it: the same wherever it is mounted too */
    uid_t owner;  /* of a FUSE mount: who mounted it; else -1 */
};
/* Each mount of this namespace, the lower of two at one place first; stops at non-zero. */
typedef int mountpoint_visitor(const struct mountpoint_entry *entry, void *context);
MUST_CHECK int mountpoint_each(mountpoint_visitor *visit, void *context);
/* The same for the mount namespace of a process. */
MUST_CHECK int mountpoint_each_of(int pid, mountpoint_visitor *visit, void *context);

/* The device of the mintfs mount that is topmost at `path`; 0 where there is none. */
dev_t mountpoint_device(const char *path);
/* Whether that mintfs mount is anywhere in this namespace; true where it cannot be told. */
bool mountpoint_has_device(dev_t device);

/*
 * Whether mintfs is mounted at `path` in the namespace of process `pid`. Where that cannot be told
 * it is taken to be.
 */
bool mountpoint_is_seen_by(int pid, const char *path);

/*
 * The place that mountpoint_default() takes, as the environment names it, looked at and not made;
 * *ret_in_tmp: nothing names one. -ENOMEM.
 */
MUST_CHECK int mountpoint_default_path(char **ret_path, bool *ret_in_tmp);

/*
 * $MINTFS_MOUNT, else $XDG_RUNTIME_DIR/mintfs, else /tmp/mintfs-UID, which only the user can have
 * made. Errors are said.
 */
MUST_CHECK int mountpoint_default(char **ret_path);

/* The absolute path, without symbolic links, even if a dead mount lies there. Errors are said. */
MUST_CHECK int mountpoint_resolve(const char *path, char **ret_path);

/*
 * Makes ready to mount at an absolute path: a missing directory is made, a dead mount of this
 * user's is removed. All else is refused, and logged: -ENOTDIR, -ENOTEMPTY, -EBUSY, -EINVAL for a
 * place in the store or around it, -EPERM for the default place where the directory is not the
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
