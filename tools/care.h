/*
 * What the commands that look after the cache share: gc's options and words, and the care that
 * follows each build.
 */
#ifndef MINTFS_TOOLS_CARE_H
#define MINTFS_TOOLS_CARE_H

#include "fs/base/cleanup.h"
#include "fs/store/gc.h"

/* The limits as settings and variables say them, and everything that sessions use. */
MUST_CHECK int care_options(struct gc_options *ret_options);

/* After a build: holds the limits, with a line about what went. `key` stays. Failure is a warning:
 * the build has succeeded. */
void care_after_build(const struct store *store, const char *key);

/* "in use by a session" and so on. */
const char *care_fate(enum gc_fate fate);

#endif
