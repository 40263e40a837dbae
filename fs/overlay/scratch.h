/*
 * The directory where overlays are stored. One daemon at a time serves all sessions in it.
 *
 *     blocks        storage of changed blocks (blocks.h)
 *     owners        the owner of each block, and its checksum (owners.h)
 *     logs/SERIAL   the change log of a session; sixteen hexadecimal digits (changelog.h)
 *     roster        which sessions exist, while no daemon has it open (roster.h)
 *     reserve       space for recording removals on a full disk (session_log.h)
 *     serials       the first serial that was never used (serials.h)
 *     lock          held by the daemon
 *     mintfs-scratch  the marker
 *
 * Opening it recovers the sessions that a stopped or killed daemon left; sessions of another boot
 * are discarded with a message.
 *
 * Safe from several threads. session.h has the order of locks.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_H
#define MINTFS_OVERLAY_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>

#include "fs/overlay/dirops.h"
#include "fs/overlay/lower.h"
#include "fs/overlay/session.h"
#include "fs/store/store.h"

struct scratch;

/*
 * A discarded session has lost this name, which the kernel may have cached. As long as it is
 * cached, the file that was open under it keeps the session's storage, even after it is closed.
 * Returns true if the kernel will be notified; the callee then owns a reference to the directory.
 * Locks are held, so it must only record the name.
 */
typedef bool session_name_lost(struct node *directory, const char *name, void *context);

struct scratch_options {
    const char *place;            /* a directory, or NULL for the store's own */
    uint64_t session_limit_bytes; /* 0: none; beyond it writes fail with ENOSPC */
    uint64_t limit_bytes;         /* for all sessions together; the same */
    session_name_lost *name_lost; /* or NULL */
    void *context;                /* for name_lost */
};

/*
 * -EWOULDBLOCK: another daemon has it (logged, with its PID); -EPROTONOSUPPORT: a later version
 * wrote it (logged). The store is borrowed. This starts a thread, so fork before.
 */
MUST_CHECK int scratch_open(const struct store *store, const struct scratch_options *options,
                            struct scratch **ret_scratch);
/* Sessions stay on disk. References to nodes that the kernel still has become invalid. */
void scratch_close(struct scratch *scratch);

/* Its directory, for messages. */
const char *scratch_path(const struct scratch *scratch);

/*
 * The template, with a reference for the caller. It may not be verified yet: see
 * lower_is_verified().
 */
MUST_CHECK int scratch_lower(struct scratch *scratch, const char *key, struct lower **ret_lower);

struct session_new_options {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct session_lease lease;
};
/*
 * Creates a session and returns its directory, with a reference. -EEXIST; -EINVAL: invalid ID;
 * -EAGAIN: the template is not verified.
 */
MUST_CHECK int scratch_session_new(struct scratch *scratch, struct lower *lower, const char *id,
                                   const struct session_new_options *options,
                                   struct node **ret_root);
/* Returns its directory, with a reference. -ENOENT. */
MUST_CHECK int scratch_session_find(struct scratch *scratch, const char *key, const char *id,
                                    struct node **ret_root);
/*
 * Gives a session another ID. A session that has that ID is discarded, and its lease passes to the
 * renamed one: renaming a new session over another one resets it. `flags` is RENAME_NOREPLACE of
 * renameat2(2), or 0. -ENOENT, -EEXIST.
 */
MUST_CHECK int scratch_session_rename(struct scratch *scratch, const char *key, const char *from,
                                      const char *to, unsigned flags);
/* Discards the session even if it is not empty. Open files stay usable until they are closed. */
MUST_CHECK int scratch_session_discard(struct scratch *scratch, const char *key, const char *id);
/*
 * The same for a session whose lease has ended. -ENOENT: the ID belongs to a session of another
 * serial now; -EBUSY: a file in it is open.
 */
MUST_CHECK int scratch_session_end(struct scratch *scratch, const char *key, const char *id,
                                   uint64_t serial);

/*
 * Visits the sessions in order of their serials, after `serial` (0: all). Stops when visit returns
 * false. The lock is held, so visit must only copy.
 */
typedef bool scratch_visitor(const struct session *session, void *context);
void scratch_each(struct scratch *scratch, uint64_t serial, scratch_visitor *visit, void *context);
/* The sessions of one template after the position `cookie`, as session_readdir() lists names. */
void scratch_readdir(struct scratch *scratch, const char *key, uint64_t cookie,
                     session_visitor *visit, void *context);

struct scratch_counts {
    uint64_t sessions;
    uint64_t sessions_made; /* since it was opened */
    uint64_t stored_bytes;
};
void scratch_count(struct scratch *scratch, struct scratch_counts *ret_counts);
MUST_CHECK int scratch_statvfs(const struct scratch *scratch, struct statvfs *ret_status);

/* To be called after something was freed: the worker soon returns it to the file system. Cheap. */
void scratch_wake(struct scratch *scratch);

#endif
