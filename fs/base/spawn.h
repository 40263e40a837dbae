/*
 * Starting threads and reporting that a process or a thread cannot be started.
 *
 * pthread_create(3), fork(2) and posix_spawn(3) report a used-up limit as EAGAIN, which elsewhere
 * means "busy, try again" (EWOULDBLOCK) and becomes exit status 4. These functions return -ENOMEM
 * in its place, so that a caller never takes a limit for a lock.
 */
#ifndef MINTFS_BASE_SPAWN_H
#define MINTFS_BASE_SPAWN_H

#include <pthread.h>

#include "fs/base/cleanup.h"

/* Errors are logged, with the limits that may be the reason. */
MUST_CHECK int spawn_thread(pthread_t *ret_thread, void *(*run)(void *context), void *context);

/* Logs that WHAT ("the daemon", "fusermount3") cannot be started; returns the negative errno. */
int spawn_log_error(int error, const char *what);

#endif
