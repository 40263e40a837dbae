/*
 * Which files are never inputs: what tools leave among sources, the store, and what the spec
 * excludes (fs/store/inputs.h). Only for input_find.c.
 */
#ifndef MINTFS_STORE_INPUT_FILTER_H
#define MINTFS_STORE_INPUT_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/base/glob.h"
#include "fs/store/build_spec.h"

struct input_filter {
    const struct build_spec *spec;
    struct glob *excludes;
    size_t exclude_count;
    bool has_store;
    dev_t store_device;
    ino_t store_inode;
};

/* -EINVAL, logged, for a pattern that is not valid; -ENOMEM. The spec is borrowed. */
MUST_CHECK int input_filter_init(struct input_filter *filter, const struct build_spec *spec);
void input_filter_fini(struct input_filter *filter);

/* Whether a file or directory of that name is left out wherever it is. */
bool input_filter_omits_name(const char *name);
/* Whether an exclude matches the path, which is relative to the root. */
bool input_filter_excludes(const struct input_filter *filter, const char *path);
/* Whether an exclude matches the path or a directory above it. */
bool input_filter_excludes_above(const struct input_filter *filter, const char *path);
bool input_filter_is_store(const struct input_filter *filter, const struct stat *status);

/* Compiles a pattern that is relative to spec->base. -EINVAL: it is not valid. */
MUST_CHECK int input_filter_compile(const struct build_spec *spec, const char *pattern,
                                    struct glob *ret_glob);

#endif
