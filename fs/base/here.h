/*
 * The current directory as people see it: a shell keeps the path by which the user reached it,
 * including symbolic links, in $PWD.
 */
#ifndef MINTFS_BASE_HERE_H
#define MINTFS_BASE_HERE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/* $PWD if it is the current directory, else the path that the kernel reports; NULL with errno set.
 * The caller frees it. */
MUST_CHECK char *here_path(void);

/* Changes to the directory, and sets $PWD as a shell's cd does. Errors are not logged. */
MUST_CHECK int here_enter(const char *directory);

/* Whether both paths are the same directory. */
bool here_is_same(const char *a, const char *b);

#endif
