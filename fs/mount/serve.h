/*
 * Serving a store at a mount point: from the first lock to the last.
 */
#ifndef MINTFS_MOUNT_SERVE_H
#define MINTFS_MOUNT_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

struct serve_options {
    const char *mount_point;      /* absolute, checked by mountpoint_prepare() */
    const char *scratch;          /* a directory, or NULL for the store's own */
    bool allow_other;             /* others get in; the kernel then checks permissions */
    bool strict;                  /* write-through: a full disk is said at write(2) */
    bool no_uring;                /* not even where kernel and library offer it */
    uint64_t session_limit_bytes; /* 0: none; sets strict */
    uint64_t limit_bytes;         /* for all sessions together; the same */
    unsigned idle_seconds;        /* goes by itself after so long without a request; 0: never */
    unsigned grace_seconds;       /* how long files that are open at SIGTERM are served on */
};

enum { SERVE_GRACE_SECONDS = 10 };

/*
 * Serves until the mount is taken away or SIGTERM, SIGINT or SIGHUP asks to stop; then no new
 * opens are taken, open files are served for grace_seconds, and nothing is left behind. After an
 * unmount that leaves copies in other mount namespaces it ends as soon as no file is open. `ready` is
 * called once, when the mount answers. -EWOULDBLOCK (said, with the place of the first) where the
 * store or the scratch is mounted already. Starts threads, changes the signal mask, and is to be
 * called once in a process.
 */
MUST_CHECK int serve(const struct store *store, const struct serve_options *options,
                     void (*ready)(void *context), void *context);

/*
 * Extended attributes that set a session's lease (setxattr(2) on its directory), in decimal: how
 * many seconds from now it may live, and the process with whose end it goes.
 */
#define LEASE_TTL_ATTRIBUTE "user.mintfs.ttl"
#define LEASE_OWNER_ATTRIBUTE "user.mintfs.owner"

/* The running mount of a store, as its lock tells. */
struct serve_found {
    int pid;
    dev_t device; /* of the files on it; 0: not known */
    unsigned grace_seconds;
    char version[32];
    char *mount_point; /* owned */
};
/* 1 and the mount, 0 where there is none, or a negative errno. */
MUST_CHECK int serve_find(const struct store *store, struct serve_found *ret_found);
/* 1 and the place, the caller's, of the dead mount that a killed daemon of this store has left. */
MUST_CHECK int serve_find_dead(const struct store *store, char **ret_mount_point);
void serve_found_fini(struct serve_found *found);
#define AUTO_SERVE_FOUND CLEANUP(serve_found_fini)

#endif
