/*
 * The kernel's wall clock.
 */
#ifndef MINTFS_BASE_CLOCK_H
#define MINTFS_BASE_CLOCK_H

#include <stdint.h>

/*
 * CLOCK_REALTIME in nanoseconds. Asked of the kernel itself: a test suite may run mintfs under
 * libfaketime, and what that says is no time to judge a cache by.
 */
int64_t clock_real_ns(void);

#endif
