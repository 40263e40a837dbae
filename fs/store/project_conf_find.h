/*
 * Finds the mintfs.conf in force: the nearest one, from the current directory upwards. The search
 * ends at the root of a repository (a directory with .git, .hg, .jj, .svn, .bzr or _darcs in it),
 * at the home directory, or else at the root of the file system. It ends before a directory that
 * all users can write to, such as /tmp: a file there belongs to no project, and must not disturb
 * the projects of other users below it.
 *
 * mintfs runs the builder in the file, which must therefore not be another user's trap. A file or
 * symbolic link is refused if it belongs to anyone but root and this user (under sudo, also the
 * user who called it), unless the setting `trust` (MINTFS_TRUST) lists its directory or one above
 * it. The user's settings, a file of the same name, are skipped.
 */
#ifndef MINTFS_STORE_PROJECT_CONF_FIND_H
#define MINTFS_STORE_PROJECT_CONF_FIND_H

#include "fs/base/cleanup.h"

#define CONF_FILE "mintfs.conf"

struct project_conf_found {
    char *directory; /* absolute, as the shell would show it; NULL: the current one */
    char *shown;     /* for messages: "mintfs.conf", "../mintfs.conf" */
    char *text;      /* its content */
};

/* 1: found and read; 0: none is in force. Errors are logged: -EPERM it is another user's. */
MUST_CHECK int project_conf_find(struct project_conf_found *ret_found);
void project_conf_found_fini(struct project_conf_found *found);
#define AUTO_CONF_FOUND CLEANUP(project_conf_found_fini)

#endif
