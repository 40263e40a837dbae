/*
 * PostgreSQL data directories in a template.
 *
 * A server that starts in a directory that was not shut down recovers first, in each session, or
 * refuses to start if some process has the number in postmaster.pid.
 */
#ifndef MINTFS_STORE_SEAL_POSTGRES_H
#define MINTFS_STORE_SEAL_POSTGRES_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/*
 * `path` is a file below files_fd. If it is the global/pg_control of a data directory that was not
 * shut down cleanly: -EBUSY, logged with the command that shuts the server down. Otherwise a
 * postmaster.pid that is left is removed. A format that is not known adds a warning.
 */
MUST_CHECK int seal_postgres(int files_fd, const char *path, struct strlist *warnings);

#endif
