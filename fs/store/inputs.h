/*
 * A builder's inputs: found, read and digested.
 *
 * An input is a file, a directory (all files below it) or a pattern (fs/base/glob.h; a directory
 * that it matches counts with all files below it). All are relative to the root, or absolute
 * inside it. Left out of directories and patterns: __pycache__, *.pyc, .git, the store, what
 * editors leave while they work, and what `excludes` say: a pattern without a slash is compared
 * with the name of each file and directory, one with a slash with its path.
 *
 * A symbolic link to a file counts with that file's content; one to a directory counts with the
 * place that it leads to, and the files there count under their own paths, once. So no link makes
 * a walk endless. One that leads out of the root, or nowhere, is an error.
 */
#ifndef MINTFS_STORE_INPUTS_H
#define MINTFS_STORE_INPUTS_H

#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/manifest.h"

/* Sorted by path as bytes, each path once. */
struct input_list {
    struct manifest_input *items;
    size_t count;
};

/*
 * Reads all inputs of a spec whose root is settled. Errors are said: -ENOENT an input or pattern
 * that matches nothing, or one that vanished while it was read; -EXDEV one outside the root;
 * -EINVAL one that is neither file nor directory, or a pattern that makes no sense.
 */
MUST_CHECK int inputs_read(const struct build_spec *spec, struct input_list *ret_list);
void inputs_fini(struct input_list *list);
#define AUTO_INPUTS CLEANUP(inputs_fini)

/* 0 if both lists are equal; else the first difference is said, and -ESTALE. */
MUST_CHECK int inputs_compare(const struct input_list *before, const struct input_list *after);

#endif
