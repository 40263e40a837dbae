/*
 * Lock files: one holder over all processes, freed by the kernel when the holder dies.
 *
 * The lock is an open file description lock (fcntl(2)) on a file in a locks directory. The file
 * contains a short text about the holder (PID, purpose), which others print in their messages. It
 * is removed when the lock is released; a process that waited on a removed file starts again with
 * the new one.
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

/* Any number of holders may share a lock; an exclusive holder is the only one. */
enum lock_kind { LOCK_SHARED, LOCK_EXCLUSIVE };

enum lock_patience { LOCK_TRY, LOCK_WAIT };

/*
 * Takes the lock NAME below dirfd, which must stay open as long as the lock is held.
 * LOCK_TRY: -EWOULDBLOCK where another holder is in the way. LOCK_WAIT: -EINTR if a signal handler
 * ran while it waited.
 */
MUST_CHECK int lock_take(struct lock *lock, int dirfd, const char *name, enum lock_kind kind,
                         enum lock_patience patience);

/* Whether lock_take() failed because the disk is full, which means that nobody holds the lock. */
static inline bool lock_lacks_room(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}

/* Replaces the text about the holder. Only for an exclusive lock. */
MUST_CHECK int lock_describe(struct lock *lock, const char *text);

/* Releases the lock if it is held, and removes its file unless another process shares the lock. */
void lock_release(struct lock *lock);
#define AUTO_LOCK CLEANUP(lock_release)

/*
 * lock_park() releases a lock that will probably be taken again soon, and keeps its file open. The
 * file's modification time then records when the lock was last held. lock_unpark() takes it again,
 * shared and without waiting: -EWOULDBLOCK, or -ESTALE, and not held, if the file was removed
 * since.
 */
MUST_CHECK int lock_park(struct lock *lock);
MUST_CHECK int lock_unpark(struct lock *lock);

/* Closes this process's handle only: a child that inherited the lock keeps it. */
void lock_forget(struct lock *lock);

/*
 * Reads who holds NAME: 1 and the holder's text (NUL-terminated, truncated to size), 0 if nobody
 * does, or a negative errno.
 */
MUST_CHECK int lock_holder(int dirfd, const char *name, char *ret_text, size_t size);

/* Removes the files of locks that nobody holds, as killed processes leave them. */
MUST_CHECK int lock_sweep(int dirfd);

#endif
