/*
 * A template's file placed as an ordinary file, for programs that want it at a path of their own.
 */
#ifndef MINTFS_STORE_EXPORT_FILE_H
#define MINTFS_STORE_EXPORT_FILE_H

#include "fs/base/cleanup.h"
#include "fs/store/template.h"

/*
 * Puts a copy of the template's file (manifest->file) at PATH, whole or not at all: copied beside,
 * synced, renamed. It starts in the journal mode that the builder left, can be written, and
 * directories on the way are made. What is there with the same content is left as it is; else it is
 * replaced, and side files of an SQLite database that lay there are removed first, since they would
 * be played into the new one. Errors are said.
 */
MUST_CHECK int export_file(const struct template *template, const char *path);

/*
 * What can be known before a long build: PATH is not empty, no directory (-EISDIR), nothing but a
 * regular file or a symbolic link, which is replaced itself, and not in the store (-EINVAL).
 */
MUST_CHECK int export_check(const struct store *store, const char *path);

#endif
