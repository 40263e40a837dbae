/*
 * Finds the files that a spec's inputs name, without reading them. Only for inputs.c.
 */
#ifndef MINTFS_STORE_INPUT_FIND_H
#define MINTFS_STORE_INPUT_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/vector.h"
#include "fs/store/build_spec.h"

struct found_input {
    char *path;          /* relative to the root: the input's path in the key */
    char *real;          /* where the content is, if a link leads there; NULL: at `path` */
    bool is_linked_tree; /* a link to the directory `real` */
};

struct found_inputs {
    struct found_input *items;
    size_t count;
    size_t capacity; /* as in VECTOR() */
};

/* Sorted by path as bytes, each path once. Errors are logged; inputs_read() lists them. */
MUST_CHECK int input_find(const struct build_spec *spec, int root_fd,
                          struct found_inputs *ret_found);
void found_inputs_fini(struct found_inputs *found);
#define AUTO_FOUND CLEANUP(found_inputs_fini)

#endif
