/*
 * Whether the journal or write-ahead log beside a database can be applied whole.
 *
 * SQLite stops without an error at the first record whose checksum is wrong: to it that is the end
 * that a crash left. Where committed work comes after that record, it would be lost silently.
 */
#ifndef MINTFS_STORE_SQLITE_RECOVERY_H
#define MINTFS_STORE_SQLITE_RECOVERY_H

#include "fs/base/cleanup.h"
#include "fs/store/sqlite_header.h"

/*
 * Looks at `path`-journal and `path`-wal, before SQLite opens the database; `path` is relative to
 * dirfd, or absolute. 0 with *ret_damage NULL: nothing is there, or all of it can be applied, or an
 * unfinished transaction is at its end; 0 with a text, which the caller frees: it cannot be applied.
 * Else a negative errno, not logged.
 */
MUST_CHECK int sqlite_recovery_check(int dirfd, const char *path, char **ret_damage);

enum sqlite_recovery {
    SQLITE_RECOVERY_NONE,    /* the first page stays as it is in the file */
    SQLITE_RECOVERY_EMPTIES, /* the journal is that of the first transaction: nothing remains */
    SQLITE_RECOVERY_BEGINS,  /* the first page is replaced by the journal's, or by the log's */
};

/*
 * Reads what recovery makes of the first page, which may never have been written to the file:
 * with SQLITE_RECOVERY_BEGINS the header that the file will have. A negative errno is not logged.
 */
MUST_CHECK int sqlite_recovery_foresee(int dirfd, const char *path,
                                       enum sqlite_recovery *ret_result,
                                       unsigned char header[SQLITE_FILE_HEADER_BYTES]);

#endif
