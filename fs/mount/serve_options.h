/*
 * How a mount is to be served: the options of `mintfs mount`, parsed and checked.
 */
#ifndef MINTFS_MOUNT_SERVE_OPTIONS_H
#define MINTFS_MOUNT_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct serve_options {
    const char *mount_point;      /* absolute, checked by mountpoint_prepare() */
    const char *scratch;          /* a directory, or NULL for the store's own */
    bool allow_other;             /* other users may enter; the kernel then checks permissions */
    bool strict;                  /* write-through: write(2) reports a full disk */
    bool no_uring;                /* use /dev/fuse even where io_uring is available */
    uint64_t session_limit_bytes; /* of each session; 0: no limit. Implies strict. */
    uint64_t limit_bytes;         /* of all sessions together; 0: no limit. Implies strict. */
    unsigned idle_seconds;        /* unmount after so long without a request; 0: never */
    unsigned grace_seconds;       /* how long open files are still served after SIGTERM */
};

enum { SERVE_GRACE_SECONDS = 10 };

#endif
