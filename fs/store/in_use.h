/*
 * Protects an open store from `mintfs clean`.
 *
 * Each process that opens a store holds a shared lock (flock(2)) on the store's directory until it
 * closes the store; the daemon holds it as long as it serves. `clean` takes it exclusively. It is
 * taken before all locks in v1/locks. The kernel releases it when the process dies.
 */
#ifndef MINTFS_STORE_IN_USE_H
#define MINTFS_STORE_IN_USE_H

#include "fs/base/cleanup.h"

/*
 * Takes the shared lock on the store's open directory; waits, with a message, while the store is
 * being removed. -ESTALE: `path` has been removed or replaced since it was opened; open it again.
 */
MUST_CHECK int in_use_share(int fd, const char *path);

enum { IN_USE_WAIT_SECONDS = 2 };

/*
 * Makes a shared lock exclusive. Waits for other processes to close the store; -EBUSY after
 * IN_USE_WAIT_SECONDS, logged with the processes that use it. -ESTALE as above. After either error
 * no lock is held. Only for single-threaded processes: it uses SIGALRM.
 */
MUST_CHECK int in_use_claim(int fd, const char *path);

#endif
