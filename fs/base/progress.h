/*
 * The progress of long work, on one line of standard error that is overwritten. It is shown only on
 * a terminal and only after half a second, and is cleared when the work ends or a message is
 * logged.
 *
 * One piece of work is shown at a time: a second one that starts within the first is not. Any
 * thread may call progress_add().
 */
#ifndef MINTFS_BASE_PROGRESS_H
#define MINTFS_BASE_PROGRESS_H

#include <stdint.h>

/* With a `total` of 0 (not known) only the amount done is shown. `what` is borrowed until
 * progress_stop(). */
void progress_start(const char *what, uint64_t total);
void progress_add(uint64_t done);
void progress_stop(void);

/* Clears the line, before other text is written. */
void progress_hide(void);

#endif
