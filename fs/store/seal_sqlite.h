/*
 * One SQLite database made fit for a template. For seal.c alone.
 */
#ifndef MINTFS_STORE_SEAL_SQLITE_H
#define MINTFS_STORE_SEAL_SQLITE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/strlist.h"

/*
 * 1: a database that SQLite reads; 0: opaque bytes; or a negative errno, unsaid. A file that has
 * SQLite's first bytes and an encrypted rest (SQLCipher's plaintext header) is opaque bytes.
 */
MUST_CHECK int seal_sqlite_detect(int fd);

/*
 * Recovers, checkpoints, switches to rollback mode and checks the database at this absolute path,
 * which messages call `shown`. Rows and schema stay as they are; no trigger, extension or function
 * of an application runs. What integrity_check cannot judge for want of an application's own
 * function, collation or module is added to `warnings`; only corruption refuses: -EBADMSG, said,
 * as are -EBUSY and the disk's errors; -EINTR is not. `ret_starts_in_wal`: it was in WAL mode.
 */
MUST_CHECK int seal_sqlite(const char *path, const char *shown, struct strlist *warnings,
                           bool *ret_starts_in_wal);

#endif
