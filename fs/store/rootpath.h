/*
 * Paths relative to a project's root, so that two checkouts give the same paths.
 */
#ifndef MINTFS_STORE_ROOTPATH_H
#define MINTFS_STORE_ROOTPATH_H

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"

/* Removes empty, "." and ".." parts from a path, by its text alone; an empty result is ".". A
 * relative path that leads above its start keeps its leading "..". */
void rootpath_normalise(char *path);

/* DIRECTORY/PATH, normalised. NULL when out of memory; the caller frees it. */
char *rootpath_join(const char *directory, const char *path);

/* The part of `path` below the directory: "." for the directory itself, NULL if it is not below.
 * Borrowed from `path`. */
const char *rootpath_below(const char *directory, const char *path);

/*
 * Makes an absolute path relative to the root: by its text, or else by what its directories resolve
 * to. *ret_path is NULL for a path outside the root. -ENOMEM.
 */
MUST_CHECK int rootpath_relative(const struct build_spec *spec, const char *path, char **ret_path);

#endif
