/*
 * Copies a template's file to an ordinary path (--to), for programs that need it there.
 */
#ifndef MINTFS_STORE_EXPORT_FILE_H
#define MINTFS_STORE_EXPORT_FILE_H

#include "fs/base/cleanup.h"
#include "fs/store/template.h"

/*
 * Copies the template's file (manifest->file) to PATH atomically: the copy is made beside it,
 * synced and renamed. It has the journal mode that the builder left, and can be written; missing
 * directories are created. A file with the same content is not touched. Another one is replaced,
 * and the side files of an SQLite database there are removed, since SQLite would apply them to the
 * new one. Errors are logged.
 */
MUST_CHECK int export_file(const struct template *template, const char *path);

/*
 * Checks PATH before a long build; errors are logged. -EISDIR: a directory. -EINVAL: empty, inside
 * the store, or something other than a regular file or a symbolic link to one, which is replaced.
 */
MUST_CHECK int export_check(const struct store *store, const char *path);

#endif
