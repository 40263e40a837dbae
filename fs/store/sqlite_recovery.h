/*
 * Whether the journal or write-ahead log beside a database can be applied whole.
 *
 * SQLite stops without an error at the first record whose checksum is wrong: to it that is the end
 * that a crash left. Where committed work comes after that record, it would be lost silently.
 */
#ifndef MINTFS_STORE_SQLITE_RECOVERY_H
#define MINTFS_STORE_SQLITE_RECOVERY_H

#include "fs/base/cleanup.h"

/*
 * Looks at `path`-journal and `path`-wal, before SQLite opens the database. 0 with *ret_damage
 * NULL: nothing is there, or all of it can be applied, or an unfinished transaction is at its end;
 * 0 with a text, which the caller frees: it cannot be applied. Else a negative errno, not logged.
 */
MUST_CHECK int sqlite_recovery_check(const char *path, char **ret_damage);

#endif
