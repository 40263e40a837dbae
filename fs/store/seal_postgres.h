/*
 * PostgreSQL data directories inside a template.
 *
 * A server that starts on one that was not shut down recovers first, in each session, or refuses to
 * start where a process happens to have the number in postmaster.pid.
 */
#ifndef MINTFS_STORE_SEAL_POSTGRES_H
#define MINTFS_STORE_SEAL_POSTGRES_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/*
 * `path` is that of a file below files_fd. Where it is the global/pg_control of a data directory:
 * -EBUSY, logged, with the command that shuts the server down, unless its state is that of a clean
 * shutdown; a postmaster.pid that is left all the same is removed. A format that is not known adds
 */
MUST_CHECK int seal_postgres(int files_fd, const char *path, struct strlist *warnings);

#endif
