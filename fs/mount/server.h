/*
 * The state of a running mount that all its requests and threads share.
 *
 * Above it is libfuse (https://libfuse.github.io/doxygen/), whose handlers are in requests_*.c and
 * listed in policy.c; below it is the overlay. A handler translates the request, calls the overlay,
 * and replies. It holds no lock of ours while it replies.
 */
#ifndef MINTFS_MOUNT_SERVER_H
#define MINTFS_MOUNT_SERVER_H

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/serve_options.h"

/* The requests that are counted, by the kernel's names for them. */
/* clang-format off */
#define REQUEST_KINDS(X)                                                                           \
    X(LOOKUP) X(FORGET) X(GETATTR) X(SETATTR) X(READLINK) X(MKNOD) X(MKDIR) X(UNLINK) X(RMDIR)     \
    X(SYMLINK) X(RENAME) X(LINK) X(OPEN) X(CREATE) X(TMPFILE) X(READ) X(WRITE) X(RELEASE)          \
    X(READDIR) X(STATFS) X(FALLOCATE) X(OPENDIR) X(SETXATTR) X(ACCESS)
/* clang-format on */

enum request_kind {
#define X(name) REQUEST_##name,
    REQUEST_KINDS(X)
#undef X
        REQUEST_KIND_COUNT
};

struct server {
    const struct serve_options *options;
    struct scratch *scratch;
    struct tree *tree;
    struct fuse_session *fuse;
    dev_t device; /* of the mount; set before the first request; 0: not known */

    /* Modules that keep state of their own; NULL while they do not run. */
    struct notifier *notifier;
    struct idle_watch *idle_watch;
    struct lease_keeper *lease_keeper;
    struct verifier *verifier;
    struct emptied *emptied;

    atomic_uint_least64_t requests[REQUEST_KIND_COUNT];
    atomic_int_least64_t used_ns; /* time of the last request, for idle_seconds */
    atomic_uint open_files;       /* including those of templates, and status.json */
    atomic_bool uses_uring;       /* at least one request has arrived over io_uring */
    atomic_bool stopping;         /* new opens are refused */
    atomic_bool leaving;          /* an idle mount is being unmounted: new sessions are refused */
    atomic_bool detached;         /* this mount namespace no longer has the mount */
    bool writeback;               /* the kernel caches writes; set by handle_init() */
    bool is_unmounted;            /* set by the stopper, read after it has ended */

    /* The end of the mount: stop.c. */
    void (*on_ready)(void *context);
    void *on_ready_context;
    pthread_t stopper;
    pthread_t loop;
    int stop_fd; /* an eventfd that wakes the stopper */

    pthread_mutex_t mutex; /* innermost; guards the fields below */
    pthread_cond_t changed;
    bool ready; /* the kernel has been answered */
    bool ended; /* the loop has ended */
};

struct server *server_of(fuse_req_t req);
/* Every handler calls this first. */
struct server *server_count(fuse_req_t req, enum request_kind kind);
/* Notes that the mount is in use now, for idle_seconds. */
void server_touch(struct server *server);
/* Counts an open file. */
void server_opened(struct server *server);
/* Counts a file as closed. The last one wakes the stopper, if it waits for open files. */
void server_closed(struct server *server);
/* Makes the stopper look for a reason to stop. */
void server_wake_stopper(struct server *server);

#endif
