/*
 * The user's home directory.
 */
#ifndef MINTFS_BASE_HOME_H
#define MINTFS_BASE_HOME_H

/* $HOME, else the directory from the user database; NULL if neither is an absolute path. The caller
 * frees it. */
char *home_directory(void);

#endif
