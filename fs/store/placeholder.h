/*
 * {out} and {dir} in a builder's arguments: the file to make, and the directory that it is in.
 *
 *     {out}               becomes the path, anywhere in an argument
 *     ${out}, #{out}      unchanged: a variable in a shell or in Ruby
 *     " {out}="           unchanged: JavaScript's `const {out}=...`
 *     {{out}}             becomes {out}, for all other cases
 *
 * The same holds for {dir}. The key is computed from the arguments as they were before.
 */
#ifndef MINTFS_STORE_PLACEHOLDER_H
#define MINTFS_STORE_PLACEHOLDER_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

struct placeholders {
    const char *out;
    const char *dir;
};

/* The argument with its placeholders filled in; the caller frees it, NULL when out of memory. Sets
 * *has_out if {out} was filled in, and does not clear it. */
MUST_CHECK char *placeholders_fill(const struct placeholders *places, const char *argument,
                                   bool *has_out);

#endif
