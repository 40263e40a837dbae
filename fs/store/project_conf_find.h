/*
 * Which mintfs.conf is in force: the nearest one, from the current directory upwards. The search ends
 * at the root of a repository (a directory with .git, .hg, .jj, .svn, .bzr or _darcs in it), at the home
 * directory, or else at the file system's root. It ends before a directory that is everybody's, as
 * /tmp: what is there is no project's, and must not stop the work of others below it.
 *
 * Its builder is run, so it must not be a trap that somebody else has laid in a directory above: a
 * file, or a symbolic link, that belongs to another user than root and oneself (under sudo also the
 * user who called it) is refused, unless the setting `trust` (MINTFS_TRUST) lists its directory or one
 * above it. The user's own settings, which have the same name, are passed by.
 */
#ifndef MINTFS_STORE_PROJECT_CONF_FIND_H
#define MINTFS_STORE_PROJECT_CONF_FIND_H

#include "fs/base/cleanup.h"

#define CONF_FILE "mintfs.conf"

struct project_conf_found {
    char *directory; /* absolute, as the shell would show it; NULL: the current directory */
    char *shown;     /* for messages: "mintfs.conf", "../mintfs.conf" */
    char *text;      /* what is in it */
};

/* 1: found and read, 0: none is in force. Errors are logged: -EPERM another user's. */
MUST_CHECK int project_conf_find(struct project_conf_found *ret_found);
void project_conf_found_fini(struct project_conf_found *found);
#define AUTO_CONF_FOUND CLEANUP(project_conf_found_fini)

#endif
