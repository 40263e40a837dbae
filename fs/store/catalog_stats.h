/*
 * The catalog's sums: by day, and over all templates. Errors are logged.
 */
#ifndef MINTFS_STORE_CATALOG_STATS_H
#define MINTFS_STORE_CATALOG_STATS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

struct catalog;

/* Counts a template that was missing and whose builder failed. */
MUST_CHECK int catalog_count_failure(struct catalog *catalog);

/* Counts what a daemon, or a command that makes a copy, has done since it last counted. */
MUST_CHECK int catalog_count_use(struct catalog *catalog, uint64_t sessions, uint64_t requests);

/* Counts an eviction, after it has freed its space: the day's row may need some. */
MUST_CHECK int catalog_count_evicted(struct catalog *catalog, uint64_t templates, uint64_t bytes);

/* The size of all templates, and the last use of the one that has been unused for longest
 * (INT64_MAX: there is none). */
MUST_CHECK int catalog_totals(struct catalog *catalog, uint64_t *ret_bytes, int64_t *ret_oldest_ns);

/* The sums of one day. */
struct catalog_day {
    char day[16]; /* YYYY-MM-DD, local time */
    int64_t hits;
    int64_t misses; /* builds, and builders that failed */
    int64_t builds;
    int64_t build_time_ns;
    int64_t saved_ns;
    int64_t built_bytes;
    int64_t evicted;
    int64_t evicted_bytes;
    int64_t sessions;
    int64_t requests;
};
/* Visits the days in order; stops at the first result that is not zero, and returns it. */
typedef int catalog_day_visitor(const struct catalog_day *day, void *context);
MUST_CHECK int catalog_each_day(struct catalog *catalog, catalog_day_visitor *visit, void *context);

#endif
