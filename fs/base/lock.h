/*
 * Lock files: one holder over all processes, freed by the kernel when the holder dies.
 *
 * The lock is an open file description lock (fcntl(2)) on a file in a locks directory; a word about
 * the holder (pid, what for) stands in it for the others' messages. The file is removed with the
 * lock, so that nothing is left behind; a taker who waited on a removed file starts over with the
 * new one.
 */
#ifndef MINTFS_BASE_LOCK_H
#define MINTFS_BASE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

struct lock {
    int fd; /* -1: not held */
    int dirfd;
    char *name; /* owned */
};
#define LOCK_INIT                                                                                  \
    {                                                                                              \
        .fd = -1, .dirfd = -1                                                                      \
    }

/* A shared lock keeps exclusive takers away and lets other shared ones in. */
enum lock_kind { LOCK_SHARED, LOCK_EXCLUSIVE };

/*
 * Takes the lock NAME below dirfd, which must stay open as long as the lock is held.
 * Without `wait`, -EWOULDBLOCK where another holds it; with it, -EINTR when a signal handler ran.
 */
MUST_CHECK int lock_take(struct lock *lock, int dirfd, const char *name, enum lock_kind kind,
                         bool wait);

/* Whether lock_take() failed for want of room for the lock's file: then nobody holds it. */
static inline bool lock_lacks_room(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}

/* Replaces the text about the holder; only for an exclusive lock. */
MUST_CHECK int lock_describe(struct lock *lock, const char *text);

/* Frees the lock and removes its file if nobody else has it. Nothing happens when not held. */
void lock_release(struct lock *lock);
#define AUTO_LOCK CLEANUP(lock_release)

/*
 * Frees a lock that is likely to be wanted again soon, but for its file, which stays open, and whose
 * time of modification tells from now on when it was used last. lock_wake() takes it again, shared
 * and without waiting: -ESTALE, and not held, where the file was removed meanwhile; -EWOULDBLOCK.
 */
MUST_CHECK int lock_rest(struct lock *lock);
MUST_CHECK int lock_wake(struct lock *lock);

/* Keeps the lock over fork and exit of the parent: closes this process's handle, no more. */
void lock_forget(struct lock *lock);

/*
 * Who holds NAME: 1 and the holder's text (NUL-terminated, cut to size), 0 when nobody does, or a
 * negative errno.
 */
MUST_CHECK int lock_holder(int dirfd, const char *name, char *ret_text, size_t size);

/* Removes the files of locks that nobody holds: killed processes leave them. */
MUST_CHECK int lock_sweep(int dirfd);

#endif
