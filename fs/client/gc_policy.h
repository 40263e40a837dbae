/*
 * When templates are evicted: the limits in force, the collection that `gc` asks for, and the one
 * that follows each build.
 */
#ifndef MINTFS_CLIENT_GC_POLICY_H
#define MINTFS_CLIENT_GC_POLICY_H

#include "fs/base/cleanup.h"
#include "fs/store/gc.h"

/* Limits as typed. NULL: the setting is used; it is read only then, so that a flag also helps
 * against a variable that makes no sense. */
struct gc_limits {
    const char *max_size;
    const char *max_age;
    const char *keep;
};

/* The limits in force; templates that sessions use are spared. Errors are logged. */
MUST_CHECK int gc_policy_options(const struct gc_limits *limits, struct gc_options *ret_options);

/* gc_run(), after the sessions whose leases have ended are removed: they no longer need their
 * templates. */
MUST_CHECK int gc_policy_run(const struct store *store, const struct gc_options *options,
                             struct gc_result *ret_result);

/* Brings the store within its limits after a build, but keeps the template KEY. Logs what was
 * evicted. A failure is only a warning: the build has succeeded. */
void gc_policy_after_build(const struct store *store, const char *key);

/* Why a template was or was not evicted: for people ("in use by a session, ..."), and as one word
 * for programs ("in use"). */
const char *gc_policy_describe(enum gc_outcome outcome);
const char *gc_policy_reason(enum gc_outcome outcome);

#endif
