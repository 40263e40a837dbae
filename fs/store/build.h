/*
 * Building: makes sure that a spec's template is in the store, with one builder per key at a time
 * over all processes that share it.
 */
#ifndef MINTFS_STORE_BUILD_H
#define MINTFS_STORE_BUILD_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

struct build_result {
    char key[SHA256_HEX_LENGTH + 1]; /* set as soon as it is computed, whatever fails later */
    bool was_hit;
    /* With -ECHILD: the builder's exit code, 128 + n after signal n, 126 or 127. */
    int builder_status;
};

/*
 * On a hit nothing runs. On a miss the builder runs, unless another process is building the same
 * key: then a message is printed, and that build is waited for.
 * Errors are logged: -ECHILD the builder failed; -EINTR a signal came, and the build was
 * removed (the caller ends with interrupt_raise()); -ESTALE an input changed while the builder ran;
 * -EDEADLK the builder asks for the template that it makes; and those of inputs_read() and
 * seal_tree().
 */
MUST_CHECK int build_template(struct store *store, const struct build_spec *spec,
                              struct build_result *ret_result);

#endif
