/*
 * The databases of failed tests that somebody asked to keep (pytest --mintfs-keep-failed). They lie in
 * the project, not in the store: v1/kept has a symbolic link to each directory of them, and the file
 * mintfs-kept there names them, one a line. What it does not name is none of ours.
 */
#ifndef MINTFS_TOOLS_KEPT_DATABASES_H
#define MINTFS_TOOLS_KEPT_DATABASES_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* Prints a line for each directory that is still there. Errors are said. */
MUST_CHECK int kept_databases_list(const struct store *store);

/* Removes them, and directories that are empty then; the links stay. Errors are said. */
MUST_CHECK int kept_databases_remove(const struct store *store);

#endif
