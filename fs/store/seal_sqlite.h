/*
 * One SQLite database made fit for a template. For seal_databases.c alone.
 */
#ifndef MINTFS_STORE_SEAL_SQLITE_H
#define MINTFS_STORE_SEAL_SQLITE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

enum sqlite_kind {
    SQLITE_KIND_NONE,      /* no database, or one that is encrypted: opaque bytes */
    SQLITE_KIND_DATABASE,  /* SQLite reads it */
    SQLITE_KIND_OF_OTHERS, /* a format version that SQLite does not know: opaque bytes */
};

struct sqlite_header {
    enum sqlite_kind kind;
    bool is_wal;
    unsigned version; /* the higher one of the two format versions */
};

/*
 * Reads what kind of file `path`, below dirfd, is, or will be once SQLite has applied the journal or
 * the log beside it. One that begins as SQLite's do and goes on encrypted (SQLCipher's plaintext
 * header) is SQLITE_KIND_NONE. A negative errno is not logged.
 */
MUST_CHECK int seal_sqlite_detect(int dirfd, const char *path, struct sqlite_header *ret_header);

/*
 * Recovers, checkpoints, switches to rollback mode and checks the database at this path of
 * sqlite_path_find(), which messages call `shown`. Rows and schema stay as they are; no trigger or
 * extension runs.
 * -EBADMSG: its structure is damaged, as *ret_damage says, which the caller logs and frees.
 * Whatever else SQLite finds, or cannot judge, is logged and added to `warnings`. -EBUSY and the
 * disk's errors are logged; -EINTR is not. `ret_starts_in_wal`: it was in WAL mode.
 */
MUST_CHECK int seal_sqlite(const char *path, const char *shown, struct strlist *warnings,
                           bool *ret_starts_in_wal, char **ret_damage);

#endif
