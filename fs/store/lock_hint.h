/*
 * A hint about an input that people forget: the lock file of a package manager, such as poetry.lock
 * (not a lock of fs/base/lock.h). Dependencies have migrations as well (Django's own, a library's),
 * and an upgrade changes the key only if a file with the installed versions is an input.
 */
#ifndef MINTFS_STORE_LOCK_HINT_H
#define MINTFS_STORE_LOCK_HINT_H

#include "fs/store/build_spec.h"
#include "fs/store/key.h"

/*
 * Logs a hint if no input is a lock file, but the root, the builder's directory or a directory
 * above an input has one. A lock file that an exclude matches was left out on purpose.
 */
void lock_hint(const struct build_spec *spec, const struct key *key);

#endif
