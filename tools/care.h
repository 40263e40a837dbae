/*
 * What the commands that look after the cache share: gc's options and words, and the care that
 * follows each build.
 */
#ifndef MINTFS_TOOLS_CARE_H
#define MINTFS_TOOLS_CARE_H

#include "fs/base/cleanup.h"
#include "fs/store/gc.h"

/* Limits as a command line says them; NULL: the setting holds, which is then not looked at otherwise,
 * so that a flag helps against a variable that nobody can read. */
struct care_limits {
    const char *max_size;
    const char *max_age;
    const char *keep;
};

/* The limits in force, and everything that sessions use. Errors are said. */
MUST_CHECK int care_options(const struct care_limits *limits, struct gc_options *ret_options);

/* After a build: holds the limits, with a line about what went. `key` stays. Failure is a warning:
 * the build has succeeded. */
void care_after_build(const struct store *store, const char *key);

/* "in use by a session" and so on, for people; and one word, for programs. */
const char *care_fate(enum gc_fate fate);
const char *care_reason(enum gc_fate fate);

#endif
