/*
 * The mount of a store, as described in the store's mount lock (v1/locks/mount).
 *
 * The daemon holds that lock while it runs and writes a description of the mount into it, so that
 * any process that has the store can find the daemon and its mount point.
 */
#ifndef MINTFS_MOUNT_RUNNING_MOUNT_H
#define MINTFS_MOUNT_RUNNING_MOUNT_H

#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/mount/serve_options.h"
#include "fs/store/store.h"

struct serve_found {
    int pid;
    dev_t device; /* st_dev of the files on the mount; 0: not known */
    unsigned grace_seconds;
    char version[32];
    char *mount_point; /* owned */
};
/* 1 and the mount; 0 if the store is not mounted; or a negative errno. */
MUST_CHECK int serve_find(const struct store *store, struct serve_found *ret_found);
/*
 * 1 and the mount point, owned by the caller, of a dead mount that a killed daemon of this store
 * has left; 0 if there is none.
 */
MUST_CHECK int serve_find_dead(const struct store *store, char **ret_mount_point);
void serve_found_fini(struct serve_found *found);
#define AUTO_SERVE_FOUND CLEANUP(serve_found_fini)

/*
 * Takes the lock for this process, without waiting, and describes the mount in it; then sweeps
 * unused lock files. -EWOULDBLOCK if another process holds it. Errors are logged.
 */
MUST_CHECK int running_mount_claim(const struct store *store, const struct serve_options *options,
                                   struct lock *lock);
/* Describes the mount again: `device` is known once it exists, and 0 before. Errors are logged. */
MUST_CHECK int running_mount_describe(struct lock *lock, const struct serve_options *options,
                                      dev_t device);

#endif
