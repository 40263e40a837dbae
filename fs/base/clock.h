/*
 * The clocks that mintfs reads, all in nanoseconds.
 */
#ifndef MINTFS_BASE_CLOCK_H
#define MINTFS_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/*
 * CLOCK_REALTIME, read from the kernel itself: a test suite may run mintfs under libfaketime, whose
 * time must not decide how old a template is.
 */
int64_t clock_real_ns(void);
/* CLOCK_REALTIME_COARSE, which the kernel also uses for the times of files. */
int64_t clock_real_coarse_ns(void);

/* CLOCK_MONOTONIC, for measuring and for deadlines. */
int64_t clock_monotonic_ns(void);
/* CLOCK_MONOTONIC_COARSE: cheaper, and exact to some milliseconds. */
int64_t clock_monotonic_coarse_ns(void);

/* The time on CLOCK_MONOTONIC after `ns`, for pthread_cond_timedwait(3). */
struct timespec clock_monotonic_after(int64_t ns);
/* Initialises a condition whose timed waits end at a time on CLOCK_MONOTONIC. */
void clock_init_condition(pthread_cond_t *ret_condition);

/* A time as a timespec; before 1970 tv_nsec is still 0 or more. */
struct timespec clock_to_timespec(int64_t ns);
/*
 * Times from 1678 to 2262 can be represented; others become the first or last of these, as in other
 * file systems.
 */
int64_t clock_from_timespec(const struct timespec *time);

#endif
