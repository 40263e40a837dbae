/*
 * What the commands that look after the cache share: gc's options and words, and the care that
 * follows each build.
 */
#ifndef MINTFS_CLIENT_GC_POLICY_H
#define MINTFS_CLIENT_GC_POLICY_H

#include "fs/base/cleanup.h"
#include "fs/store/gc.h"

/* Limits as a command line says them; NULL: the setting holds, which is then not looked at otherwise,
 * so that a flag helps against a variable that nobody can read. */
struct gc_limits {
    const char *max_size;
    const char *max_age;
    const char *keep;
};

/* The limits in force, and everything that sessions use. Errors are said. */
MUST_CHECK int gc_policy_options(const struct gc_limits *limits, struct gc_options *ret_options);

/* After a build: holds the limits, with a line about what went. `key` stays. Failure is a warning:
 * the build has succeeded. */
void gc_policy_after_build(const struct store *store, const char *key);

/* "in use by a session" and so on, for people; and one word, for programs. */
const char *gc_policy_fate(enum gc_fate fate);
const char *gc_policy_reason(enum gc_fate fate);

#endif
