/*
 * Paths with regard to a project's root: what lies below it is called by its relative path, so
 * that two checkouts say the same.
 */
#ifndef MINTFS_STORE_ROOTPATH_H
#define MINTFS_STORE_ROOTPATH_H

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"

/* Takes empty, "." and ".." parts out of a path, by its text alone. "." is what is left of none.
 * A relative path that leads above its start keeps its leading "..". */
void rootpath_normalise(char *path);

/* The rest of `path` below the directory: "." for itself, NULL if it is not below. Borrowed. */
const char *rootpath_below(const char *directory, const char *path);

/*
 * The path relative to the root of an absolute one, by its text, else by what its directories
 * resolve to. *ret_path is NULL where it lies outside. -ENOMEM.
 */
MUST_CHECK int rootpath_relative(const struct build_spec *spec, const char *path, char **ret_path);

#endif
