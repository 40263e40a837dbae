/*
 * Where overlays lie: one directory, one daemon at a time, all sessions in it.
 *
 *     blocks        storage of changed blocks (blocks.h)
 *     owners        whose each of them is, with a checksum (owners.h)
 *     logs/SERIAL   one change log a session, sixteen hexadecimal digits (changelog.h)
 *     roster        what sessions there are, while no daemon has it open (roster.h)
 *     reserve       room for records of removals on a full disk
 *     serials       the first serial that no session had
 *     lock          held by the daemon
 *     mintfs-scratch  the marker
 *
 * Opening recovers the sessions that a daemon left, stopped or killed; those of another boot are
 * discarded with a line. A thread of its own gives freed storage back to the file system and lets
 * go of templates that no session stands on, so that no request waits for either.
 *
 * Safe from several threads. Its lock is taken before any of a session's.
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
 * A discarded session has lost this name, which the kernel may remember: as long as it does, what
 * was open under it keeps the session's storage, closed or not. True if the kernel will be told;
 * then a reference to the directory is handed over. Locks are held: it only takes notes.
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
 * -EWOULDBLOCK (said, with the holder) where another daemon has it; -EPROTONOSUPPORT (said) where a
 * later version wrote it. The store is borrowed. Starts a thread: fork before.
 */
MUST_CHECK int scratch_open(const struct store *store, const struct scratch_options *options,
                            struct scratch **ret_scratch);
/* Sessions stay on disk. References to nodes that are left, the kernel's, become void. */
void scratch_close(struct scratch *scratch);

/* The directory, for messages. */
const char *scratch_path(const struct scratch *scratch);

/*
 * The template as sessions stand on it, kept for the next who asks; a reference for the caller. It
 * need not be verified yet: see lower_is_verified().
 */
MUST_CHECK int scratch_lower(struct scratch *scratch, const char *key, struct lower **ret_lower);

struct session_new_options {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct session_lease lease;
};
/*
 * Makes a session and hands out its directory, referenced. -EEXIST, -EINVAL for a bad ID, -EAGAIN
 * where the lower is not verified.
 */
MUST_CHECK int scratch_session_new(struct scratch *scratch, struct lower *lower, const char *id,
                                   const struct session_new_options *options,
                                   struct node **ret_root);
/* -ENOENT where there is none; else its directory, referenced. */
MUST_CHECK int scratch_session_find(struct scratch *scratch, const char *key, const char *id,
                                    struct node **ret_root);
/*
 * Gives a session another ID. Where another session has that ID it is discarded, and the lease
 * stays with the ID: a session is reset by renaming a new one over it. `flags` is RENAME_NOREPLACE of
 * renameat2(2), or 0. -ENOENT, -EEXIST.
 */
MUST_CHECK int scratch_session_rename(struct scratch *scratch, const char *key, const char *from,
                                      const char *to, unsigned flags);
/* Whole, full or not; what is open lives on without a name until it is closed. */
MUST_CHECK int scratch_session_discard(struct scratch *scratch, const char *key, const char *id);
/* The same for one whose time is up: only if it is still that one (-ENOENT) and not in use (-EBUSY). */
MUST_CHECK int scratch_session_end(struct scratch *scratch, const char *key, const char *id,
                                   uint64_t serial);

/*
 * Sessions in the order of their serials, from behind `serial` (0: all). The lock is held: visit
 * only copies. Stops when visit answers false.
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

/* To be called when something was freed: the thread looks after it soon. Cheap. */
void scratch_wake(struct scratch *scratch);

#endif
