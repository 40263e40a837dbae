/*
 * Signals that end a process, noted instead while a build runs, so that it can end its builder and
 * take its traces away first. One build at a time in a process, on its only thread.
 */
#ifndef MINTFS_BASE_INTERRUPT_H
#define MINTFS_BASE_INTERRUPT_H

#include "fs/base/cleanup.h"

/* Notes SIGINT, SIGTERM, SIGHUP and SIGQUIT from now on, except those that are ignored, as SIGHUP
 * below nohup. System calls that wait then answer EINTR. */
MUST_CHECK int interrupt_catch(void);

/* What was before comes back; what was noted stays noted. */
void interrupt_restore(void);

/* In a child, before exec: what was before, unblocked. */
void interrupt_restore_in_child(void);

/* The signal that came first, or 0. */
int interrupt_pending(void);

/* How many came: a second one means that the user will not wait. */
int interrupt_count(void);

/* Readable once a signal came; -1 while none is caught. */
int interrupt_fd(void);

/* Ends the process by the signal that came, as if it had never been caught; returns if none did. */
void interrupt_raise(void);

#endif
