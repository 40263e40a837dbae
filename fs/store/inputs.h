/*
 * A builder's inputs: finds, reads and digests them.
 *
 * An input is a file, a directory (all files below it) or a pattern (fs/base/glob.h; a directory
 * that it matches counts with all files below it). Each is relative to the root, or absolute and
 * inside it. Directories and patterns leave out __pycache__, *.pyc, .git, the store, the temporary
 * files of editors, and what `excludes` match: a pattern without a slash is compared with the name
 * of each file and directory, one with a slash with its path.
 *
 * A symbolic link to a file counts with that file's content. One to a directory counts with the
 * path that it leads to, and the files there count once, under their own paths, so that links
 * cannot make a walk endless. A link that leads out of the root, or nowhere, is an error.
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
 * Reads all inputs of a spec whose root is set. Errors are logged: -ENOENT an input or pattern that
 * matches nothing, or a file that vanished before it was read; -EXDEV an input outside the root;
 * -EINVAL an input that is neither a file nor a directory, or a pattern that is not valid.
 */
MUST_CHECK int inputs_read(const struct build_spec *spec, struct input_list *ret_list);
void inputs_fini(struct input_list *list);
#define AUTO_INPUTS CLEANUP(inputs_fini)

/* -ESTALE if the lists differ; the first difference is logged. */
MUST_CHECK int inputs_compare(const struct input_list *before, const struct input_list *after);

#endif
