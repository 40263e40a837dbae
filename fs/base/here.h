/*
 * The current directory, as people see it: a shell keeps the path by which somebody came there, with
 * the symbolic links in it, in $PWD.
 */
#ifndef MINTFS_BASE_HERE_H
#define MINTFS_BASE_HERE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/* $PWD where that is the current directory, else the path that the kernel gives. NULL with errno set.
 * Owned by the caller. */
MUST_CHECK char *here_path(void);

/* Changes to the directory, and sets $PWD as a shell's cd does. A negative errno, not logged. */
MUST_CHECK int here_enter(const char *directory);

/* Whether both paths are the same directory. */
bool here_is_same(const char *a, const char *b);

#endif
