/*
 * The user's home directory.
 */
#ifndef MINTFS_BASE_HOME_H
#define MINTFS_BASE_HOME_H

#include "fs/base/cleanup.h"

/* $HOME, else as the user database says; NULL where neither names an absolute path. Owned by the
 * caller. */
char *home_directory(void);

#endif
