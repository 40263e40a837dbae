/*
 * Who has a store open, so that `mintfs clean` removes it from under nobody.
 *
 * Each process that opens a store holds a shared lock (flock(2)) on its directory until it closes
 * the store, the daemon for as long as it serves. `clean` needs the exclusive one. It is taken before
 * all locks in v1/locks. The kernel frees it with the process.
 */
#ifndef MINTFS_STORE_IN_USE_H
#define MINTFS_STORE_IN_USE_H

#include "fs/base/cleanup.h"

/*
 * Takes the shared lock of the store's open directory; waits, with a message, while the store is
 * being removed. -ESTALE: `path` is another directory by now, or none; open the store again.
 */
MUST_CHECK int in_use_share(int fd, const char *path);

enum { IN_USE_WAIT_SECONDS = 2 };

/*
 * Makes a shared lock exclusive. Commands that are about to end are waited for; -EBUSY after
 * IN_USE_WAIT_SECONDS, logged with the processes that use the store. -ESTALE as above. In both cases
 * no lock is held afterwards. For a process of one thread: it uses SIGALRM.
 */
MUST_CHECK int in_use_claim(int fd, const char *path);

#endif
