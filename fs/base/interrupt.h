/*
 * Signals that would end the process are only recorded while a build runs, so that the build can
 * first end its builder and remove its files. For one build at a time, in a process with one
 * thread.
 */
#ifndef MINTFS_BASE_INTERRUPT_H
#define MINTFS_BASE_INTERRUPT_H

#include "fs/base/cleanup.h"

/* Records SIGINT, SIGTERM, SIGHUP and SIGQUIT from now on, except those that are ignored, such as
 * SIGHUP under nohup. Blocking system calls then fail with EINTR. */
MUST_CHECK int interrupt_catch(void);

/* Restores the former handlers. Signals that were recorded stay recorded. */
void interrupt_restore(void);

/* For a child before exec: restores the former handlers and unblocks all signals. */
void interrupt_restore_in_child(void);

/* The first signal that was recorded, or 0. */
int interrupt_pending(void);

/* How many were recorded: a second one means that the user does not want to wait. */
int interrupt_count(void);

/* Readable after a signal was recorded; -1 while signals are not caught. */
int interrupt_fd(void);

/* Ends the process by the recorded signal, as if uncaught. Returns if there is none. */
void interrupt_raise(void);

#endif
