/*
 * The lock build-KEY (fs/store/lock_names.h): one builder per key at a time, over all processes
 * that share the store.
 */
#ifndef MINTFS_STORE_BUILD_LOCK_H
#define MINTFS_STORE_BUILD_LOCK_H

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/store/store.h"

/*
 * Takes the lock of a key, and waits with a message while another process holds it; `name_or_null`
 * is the template's name, for that message. Errors are logged, except -EINTR: a signal came
 * (fs/base/interrupt.h). Only for single-threaded processes: it uses SIGALRM.
 */
MUST_CHECK int build_lock_take(const struct store *store, const char *key, const char *name_or_null,
                               struct lock *lock);

#endif
