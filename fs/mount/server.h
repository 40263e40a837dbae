/*
 * Inside the mount: what all requests share. Other layers use serve.h.
 *
 * Above this lies libfuse (https://libfuse.github.io/doxygen/), whose handlers the requests_*.c
 * files provide; below it the overlay. A handler translates, asks the overlay, replies; no lock of
 * ours is held over a reply.
 */
#ifndef MINTFS_MOUNT_SERVER_H
#define MINTFS_MOUNT_SERVER_H

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/base/lock.h"
#include "fs/mount/serve.h"
#include "fs/mount/tree.h"
#include "fs/overlay/attributes.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/fallocate.h"
#include "fs/overlay/file_io.h"
#include "fs/overlay/node.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_use.h"

/* Requests that are counted, by what the kernel calls them. */
/* clang-format off */
#define REQUEST_KINDS(X)                                                                           \
    X(LOOKUP)                                                                                      \
    X(FORGET)                                                                                      \
    X(GETATTR)                                                                                     \
    X(SETATTR) X(READLINK) X(MKNOD) X(MKDIR) X(UNLINK) X(RMDIR) X(SYMLINK) X(RENAME) X(LINK)       \
        X(OPEN) X(CREATE) X(TMPFILE) X(READ) X(WRITE) X(RELEASE) X(READDIR) X(STATFS) X(FALLOCATE) \
            X(OPENDIR) X(SETXATTR) X(ACCESS)
/* clang-format on */

enum request_kind {
#define X(name) REQUEST_##name,
    REQUEST_KINDS(X)
#undef X
        REQUEST_KIND_COUNT
};

struct notifier;
struct lease_keeper;
struct verifier;

struct server {
    const struct serve_options *options;
    struct scratch *scratch;
    struct tree *tree;
    struct fuse_session *fuse;
    struct notifier *notifier;
    struct lease_keeper *lease_keeper;
    struct emptied *emptied;
    struct lock *lock; /* the store's, taken */
    dev_t device;      /* of the mount, before the first request; 0: not known */
    pthread_t stopper;
    pthread_t loop;
    int stop_fd; /* wakes the stopper */
    void (*on_ready)(void *context);
    void *on_ready_context;
    struct verifier *verifier;
    atomic_uint_least64_t requests[REQUEST_KIND_COUNT];
    atomic_bool uses_uring; /* seen: a request came through io_uring */
    bool writeback;
    atomic_bool stopping;         /* no new opens */
    atomic_bool leaving;          /* an idle mount is being taken away: no new sessions */
    atomic_bool detached;         /* no mount of it is left in this mount namespace */
    atomic_int_least64_t used_ns; /* coarse time of the last request */
    atomic_uint open_files;       /* templates' and status.json's count too */

    pthread_mutex_t mutex; /* innermost: guards the wait for what follows */
    pthread_cond_t changed;
    bool ready;        /* the kernel has been answered */
    bool ended;        /* the loop is over */
    bool is_unmounted; /* before the loop was over; set by its end alone */
};

/* ---- from a request to what it names ---- */

struct server *server_of(fuse_req_t req);
/* First in each handler. */
struct server *server_count(fuse_req_t req, enum request_kind kind);
/* Notes the time, for idle_seconds. */
void server_touch(struct server *server);
void server_opened(struct server *server);
void server_closed(struct server *server);

/* One of the two is set. */
struct target {
    struct inode *inode;
    struct node *node;
};
struct target target_of(struct server *server, fuse_ino_t id);
fuse_ino_t id_of_node(const struct node *node);
void target_stat(struct server *server, struct target target, struct stat *ret_status);
/* For how many seconds the kernel may keep its name and attributes. */
double target_validity(struct target target);

/* ---- replies ---- */

/* Hand a reference on to the kernel; it is taken back when the kernel does not want it. */
void reply_inode(fuse_req_t req, struct inode *inode);
void reply_node(fuse_req_t req, struct node *node);
void fill_node_entry(struct node *node, struct fuse_entry_param *ret_entry);
/* There is no such name, and the kernel may remember it. */
void reply_no_entry(fuse_req_t req);
/* -error, or success without data. */
void reply_result(fuse_req_t req, int result);

/* ---- access.c: may the caller? 0 or -EACCES, -EPERM ---- */

/* want: R_OK, W_OK, X_OK together. With allow_other the kernel has checked already: always 0. */
MUST_CHECK int access_node(fuse_req_t req, struct node *node, int want);
/* What access(2) asks: as that, but for root too. */
MUST_CHECK int access_ask(fuse_req_t req, struct node *node, int want);
/* A removal of this child of a directory: write permission, and ownership if it is sticky. */
MUST_CHECK int access_remove(fuse_req_t req, struct node *directory, const char *name);
/* The attributes that a SETATTR names. */
MUST_CHECK int access_set(fuse_req_t req, struct node *node, const struct stat *to, int which);

/* ---- status.c ---- */

/* The text of status.json, malloc'ed; NULL without memory. */
char *status_text(struct server *server);

/* ---- notify.c: the thread that tells the kernel what it must forget ---- */

MUST_CHECK int notifier_start(struct server *server);
void notifier_stop(struct server *server);
/* For scratch_options: the kernel forgets names of discarded sessions soon. */
bool notifier_lose_name(struct node *directory, const char *name, void *server);
/* The cached listing of templates/ or sessions/ is dropped soon. */
void notifier_drop_listing(struct server *server, enum inode_kind kind);

/* ---- stop.c: the thread that ends the mount when asked to ---- */

/* Before any thread is started: the signals that ask to stop are the stopper's alone. */
void stopper_block_signals(void);
/* From the thread that is to run the loop. Errors are logged. */
MUST_CHECK int stopper_start(struct server *server);
/* The loop has ended. */
void stopper_end(struct server *server);
/* The last open file of a detached mount was closed. */
void stopper_wake(struct server *server);

/* ---- verifier.c: the thread that compares restored templates with their manifests ---- */

MUST_CHECK int verifier_start(struct server *server);
/* What runs and who waits ends: for a daemon that is asked to stop. */
void verifier_interrupt(struct server *server);
void verifier_stop(struct server *server);
/*
 * Before anything of the template is used: 0 if it is verified. Else waits for that, as verifier.c
 * states: -EAGAIN where it takes longer, -EBADMSG (said) where it is damaged, -ESHUTDOWN. No lock held.
 */
MUST_CHECK int verifier_require(fuse_req_t req, struct lower *base);
/* How many templates are being verified or wait for their turn. */
unsigned verifier_count(struct server *server);

/* ---- leases.c: the thread that ends sessions whose time is up or whose owner is gone ---- */

MUST_CHECK int lease_keeper_start(struct server *server);
void lease_keeper_stop(struct server *server);
/* A lease has changed. */
void lease_keeper_wake(struct server *server);
/*
 * The owner is the process that `caller`, a request's, calls by this number; the lease gets it as the
 * daemon counts it. -EXDEV where the daemon cannot look into the caller's PID namespace; -ESRCH.
 */
MUST_CHECK int lease_set_owner(struct session_lease *lease, int caller, int number);
/* SETXATTR user.mintfs.ttl (seconds) and user.mintfs.owner (a process) of a session's directory. */
MUST_CHECK int lease_set(struct node *node, int caller, const char *name, const char *value,
                         size_t size);

/* ---- the handlers, for the table in policy.c ---- */

void handle_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_forget(fuse_req_t req, fuse_ino_t id, uint64_t count);
void handle_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void handle_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_setattr(fuse_req_t req, fuse_ino_t id, struct stat *to, int which,
                    struct fuse_file_info *info);
void handle_access(fuse_req_t req, fuse_ino_t id, int want);
void handle_readlink(fuse_req_t req, fuse_ino_t id);
void handle_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void handle_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void handle_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void handle_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void handle_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                   const char *new_name, unsigned flags);
void handle_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value,
                     size_t size, int flags);
void handle_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name);
void handle_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *info);
void handle_statfs(fuse_req_t req, fuse_ino_t id);
void handle_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                   struct fuse_file_info *info);
void handle_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *info);
void handle_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                 struct fuse_file_info *info);
void handle_write(fuse_req_t req, fuse_ino_t id, const char *bytes, size_t size, off_t offset,
                  struct fuse_file_info *info);
void handle_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void handle_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t length,
                      struct fuse_file_info *info);

/* policy.c */
extern const struct fuse_lowlevel_ops server_operations;

#endif
