/*
 * One session: a private tree of files on top of a template, as the mount sees it.
 *
 * A node is a file, directory or link of a session. Every function that hands one out has counted
 * a reference for the caller, who gives it back by node_unref(); a node without a name lives on
 * while references last, as an inode does. Arguments are checked here for what concerns the tree
 * (-ENOTEMPTY, -ENAMETOOLONG, ...); permissions are the mount's business.
 *
 * All functions are safe from several threads. Locks, in the order in which they are taken:
 *     scratch (scratch.h), then session.changes, session.names, node.lock, the change log's,
 *     the blocks'. None is held when a function returns.
 */
#ifndef MINTFS_OVERLAY_SESSION_H
#define MINTFS_OVERLAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/cookies.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

struct node;
struct session;

const char *session_id(const struct session *session);
const char *session_key(const struct session *session);
/* Unique over all sessions of the scratch, ever; never 0. */
uint64_t session_serial(const struct session *session);
void session_get_lease(struct session *session, struct session_lease *ret_lease);
MUST_CHECK int session_set_lease(struct session *session, const struct session_lease *lease);
/* When it was last used, by session_lease_clock_ns(). */
int64_t session_used_ns(const struct session *session);

/* Bytes of storage that its overlay takes, and how many of its files are open. */
uint64_t session_bytes(const struct session *session);
unsigned session_open_files(const struct session *session);

/* ---- nodes ---- */
struct session *node_session(const struct node *node);
void node_ref(struct node *node);
/* Gives back `count` references; the last may free the node, and a discarded session with it. */
void node_unref(struct node *node, uint64_t count);
/* The session's own directory? */
bool node_is_root(const struct node *node);

/* st_ino is unique over all sessions of the scratch and never used again while it runs. */
void node_stat(struct node *node, struct stat *ret_status);

enum node_set {
    NODE_SET_MODE = 1,
    NODE_SET_UID = 2,
    NODE_SET_GID = 4,
    NODE_SET_SIZE = 8,
    NODE_SET_ATIME = 16,
    NODE_SET_MTIME = 32,
    NODE_SET_CTIME = 64,
};
/* Sets what `which` (of enum node_set) names, all or nothing but for a truncation that fails. */
MUST_CHECK int node_set(struct node *node, const struct stat *to, unsigned which);
/* Bytes of a symbolic link, without a NUL; owned by the node. */
const char *node_target(const struct node *node);

/* ---- names in a directory ---- */
MUST_CHECK int session_lookup(struct node *directory, const char *name, struct node **ret_node);
struct node_new {
    mode_t mode; /* with the type */
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    const char *target; /* of a symbolic link */
};
/* A new node under a new name; -EEXIST where there is one. With name NULL it has none (O_TMPFILE).
 */
MUST_CHECK int session_make(struct node *directory, const char *name, const struct node_new *how,
                            struct node **ret_node);
MUST_CHECK int session_link(struct node *node, struct node *directory, const char *name);
MUST_CHECK int session_unlink(struct node *directory, const char *name);
MUST_CHECK int session_rmdir(struct node *directory, const char *name);
/* flags: RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2), or 0. */
MUST_CHECK int session_rename(struct node *from, const char *from_name, struct node *to,
                              const char *to_name, unsigned flags);

/*
 * Entries after the position `cookie` (0: all), "." and ".." included; each comes with the cookie
 * that continues after it. Entries that come and go leave the others' cookies alone, and new ones
 * come before every position that was handed out (cookies.h). Stops when visit answers false. The
 * locks are held: visit only copies.
 */
typedef bool session_visitor(const char *name, uint64_t ino, mode_t type, uint64_t cookie,
                             void *context);
void session_readdir(struct node *directory, uint64_t cookie, session_visitor *visit,
                     void *context);

/*
 * A discarded session has lost this name, which the kernel may remember: as long as it does, what
 * was open under it keeps the session's storage, closed or not. True if the kernel will be told;
 * then a reference to the directory is handed over. Locks are held: it only takes notes.
 */
typedef bool session_name_lost(struct node *directory, const char *name, void *context);

/* ---- bytes of a regular file ---- */
/* Between these the template's file stays open. */
MUST_CHECK int file_open(struct node *node);
void file_close(struct node *node);
/*
 * As file_open(); and if the file is as in the template and never was open, warm() gets the bytes
 * that sessions read of it (prefetch.h). The file's lock is held meanwhile: nobody else opens, changes or
 * cuts it, so warm() may hand the bytes to the kernel, but must not wait for anybody here.
 */
typedef void file_warmer(uint64_t offset, const void *bytes, size_t size, void *context);
MUST_CHECK int file_open_warm(struct node *node, file_warmer *warm, void *context);

/* The count, less than size only at the end of the file. */
MUST_CHECK ssize_t file_read(struct node *node, void *buffer, size_t size, uint64_t offset);
/*
 * All of it or an error. A block of the template is copied whole or not at all; when there is no
 * room (-ENOSPC, -EDQUOT) the file is as it was.
 */
MUST_CHECK int file_write(struct node *node, const void *buffer, size_t size, uint64_t offset);
/* FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE as fallocate(2); others are -EOPNOTSUPP. */
MUST_CHECK int file_allocate(struct node *node, int mode, uint64_t offset, uint64_t length);

#endif
