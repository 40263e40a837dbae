/*
 * A hint for what people forget among the inputs: the lock file. Migrations come from dependencies as
 * well (Django's own, a library's), and the key knows of an upgrade only if a file that says which
 * version is installed is an input.
 */
#ifndef MINTFS_STORE_LOCK_HINT_H
#define MINTFS_STORE_LOCK_HINT_H

#include "fs/store/build_spec.h"
#include "fs/store/key.h"

/*
 * Logs one hint where a lock file is in the root, in the builder's directory or in a directory above
 * an input, and no lock file at all is among the inputs. One that an exclude matches was left out
 * on purpose. To be called before a builder runs: a hit needs no hint.
 */
void lock_hint(const struct build_spec *spec, const struct key *key);

#endif
