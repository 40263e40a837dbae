/*
 * Building: from a spec to a published template, once for all processes that ask at a time.
 */
#ifndef MINTFS_STORE_BUILD_H
#define MINTFS_STORE_BUILD_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

struct build_result {
    char key[SHA256_HEX_LENGTH + 1];
    bool was_hit;
    /* With -ECHILD: the code that the builder ended with, 128 + n after signal n, 126 or 127. */
    int builder_status;
};

/*
 * Makes sure that the spec's template is in the store. On a hit nothing runs. On a miss the builder
 * runs, unless another process builds the same key: then that is waited for, and said.
 * Errors are said: -ECHILD the builder failed; -EINTR a signal came, and nothing is left of the
 * build (the caller ends with interrupt_raise()); -ESTALE an input changed meanwhile; -EDEADLK the
 * builder asks for the template that it makes; and those of inputs_read() and seal_tree().
 */
MUST_CHECK int build_template(struct store *store, const struct build_spec *spec,
                              struct build_result *ret_result);

#endif
