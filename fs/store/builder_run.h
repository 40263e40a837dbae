/*
 * Runs the builder that a spec describes: its arguments with {out} and {dir} filled in, and with
 * these variables added to the environment.
 *
 *     MINTFS_OUT       the value of {out}
 *     MINTFS_DIR       the value of {dir}
 *     MINTFS_BUILDING  the keys that this builder and those that it runs in are building
 *     PWD              spec->directory, if it is set
 *     MINTFS_STORE     the store's absolute path, if a relative one is set and PWD changes
 */
#ifndef MINTFS_STORE_BUILDER_RUN_H
#define MINTFS_STORE_BUILDER_RUN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/build_work.h"
#include "fs/store/builder_process.h"

/* -EDEADLK, logged: this process was started by the builder of that very key. */
MUST_CHECK int builder_run_check(const char *key);

/*
 * Runs the builder of `key` in its directory until it exits. Processes that it has left keep
 * running until builder_end(), and also after builder_detach(). *ret_status as for builder_wait();
 * *ret_names_file: --file was given or {out} was filled in, so the file must exist. Errors are
 * logged: -ECHILD the builder failed, -EINTR (not logged) a signal came.
 */
MUST_CHECK int builder_run(const struct build_work *work, const struct build_spec *spec,
                           const char *key, struct builder *ret_builder, int *ret_status,
                           bool *ret_names_file);

#endif
