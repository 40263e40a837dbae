/*
 * How far long work has come, on one line of standard error that is overwritten: only where that is
 * a terminal, only after a moment, and gone when the work is done or a message comes.
 *
 * One piece of work at a time; a second one that starts within the first is not shown. Any thread
 * may add.
 */
#ifndef MINTFS_BASE_PROGRESS_H
#define MINTFS_BASE_PROGRESS_H

#include <stdint.h>

/* `total` 0: not known, and only what is done is shown. `what` is borrowed until progress_stop(). */
void progress_start(const char *what, uint64_t total);
void progress_add(uint64_t done);
void progress_stop(void);

/* Takes the line away, before another text is written. */
void progress_hide(void);

#endif
