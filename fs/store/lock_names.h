/*
 * The locks in v1/locks (fs/base/lock.h).
 *
 *     mount       exclusive: the daemon that serves the store, for as long as it runs
 *     mounting    exclusive: a command that starts the daemon, or relies on there being none;
 *                 called the start lock
 *     gc          exclusive: an eviction, and a check that must not see a half of one
 *     build-KEY   exclusive: a build of KEY; only its holder touches building/KEY.*
 *     use-KEY     shared: a session of KEY, or a copy in progress; exclusive: an eviction of KEY
 *     catalog     exclusive: a repair of the catalog
 *     pins        exclusive: a change of v1/pins
 */
#ifndef MINTFS_STORE_LOCK_NAMES_H
#define MINTFS_STORE_LOCK_NAMES_H

#include <stdbool.h>

#define LOCK_NAME_MOUNT "mount"
#define LOCK_NAME_MOUNTING "mounting"
#define LOCK_NAME_GC "gc"
#define LOCK_NAME_CATALOG "catalog"
#define LOCK_NAME_PINS "pins"

/* Of a lock that each key has: large enough for "build-KEY" and its NUL. */
enum { KEY_LOCK_NAME_SIZE = 6 + 64 + 1 };

void lock_name_for_build(const char *key, char ret_name[KEY_LOCK_NAME_SIZE]);
void lock_name_for_use(const char *key, char ret_name[KEY_LOCK_NAME_SIZE]);

/* The KEY in "build-KEY" or "use-KEY", borrowed; NULL for the name of any other lock. */
const char *lock_name_build_key(const char *name);
const char *lock_name_use_key(const char *name);

/* Whether it is the name of a lock in the table above. */
bool lock_name_is_known(const char *name);

#endif
