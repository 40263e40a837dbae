/*
 * Finds the files that inputs stand for, without reading them. For inputs.c alone.
 */
#ifndef MINTFS_STORE_INPUT_FIND_H
#define MINTFS_STORE_INPUT_FIND_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"

struct found_input {
    char *path;          /* relative to the root; what counts */
    char *real;          /* where the content lies, or NULL: at `path` itself */
    bool is_linked_tree; /* a link to the directory `real` */
};

struct found_inputs {
    struct found_input *items;
    size_t count;
    size_t capacity;
};

/* Sorted by path as bytes, each path once. Errors are said, as inputs_read() lists them. */
MUST_CHECK int input_find(const struct build_spec *spec, int root_fd,
                          struct found_inputs *ret_found);
void found_inputs_fini(struct found_inputs *found);
#define AUTO_FOUND CLEANUP(found_inputs_fini)

#endif
