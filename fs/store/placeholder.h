/*
 * {out} and {dir} in a builder's arguments: the file to make, and the directory that it is in.
 *
 *     {out}               the path, wherever it is in an argument
 *     ${out}, #{out}      left as it is: a variable of a shell, of Ruby
 *     " {out}="           left as it is: JavaScript's `const {out}=...`
 *     {{out}}             {out}, for all other cases
 *
 * The same holds for {dir}. A key is computed before any of this.
 */
#ifndef MINTFS_STORE_PLACEHOLDER_H
#define MINTFS_STORE_PLACEHOLDER_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

struct placeholders {
    const char *out;
    const char *dir;
};

/* The argument, filled in; owned by the caller, NULL when out of memory. Sets *has_out to true where
 * {out} was filled in, and else leaves it alone. */
MUST_CHECK char *placeholders_fill(const struct placeholders *places, const char *argument,
                                   bool *has_out);

#endif
