/*
 * Whether the journal or write-ahead log of a database can be applied completely.
 *
 * SQLite stops without an error at the first record whose checksum is wrong, since a crash may have
 * ended the file there. Committed transactions after that record would be lost silently.
 */
#ifndef MINTFS_STORE_SQLITE_RECOVERY_H
#define MINTFS_STORE_SQLITE_RECOVERY_H

#include "fs/base/cleanup.h"
#include "fs/store/sqlite_header.h"

/*
 * Examines `path`-journal and `path`-wal, before SQLite opens the database; `path` is relative to
 * dirfd, or absolute. 0 with *ret_damage NULL: there is none, or all of it can be applied except an
 * unfinished transaction at its end; 0 with a text, which the caller frees: it cannot be applied.
 * Else a negative errno, not logged.
 */
MUST_CHECK int sqlite_recovery_check(int dirfd, const char *path, char **ret_damage);

enum sqlite_recovery {
    SQLITE_RECOVERY_NONE,    /* does not change the first page */
    SQLITE_RECOVERY_EMPTIES, /* rolls the first transaction back: the file is empty afterwards */
    SQLITE_RECOVERY_BEGINS,  /* replaces the first page by that of the journal or the log */
};

/*
 * Predicts what recovery does to the first page, which may never have been written to the file.
 * With SQLITE_RECOVERY_BEGINS `header` is the header that the file will have. Errors are not
 * logged.
 */
MUST_CHECK int sqlite_recovery_predict(int dirfd, const char *path,
                                       enum sqlite_recovery *ret_result,
                                       unsigned char header[SQLITE_FILE_HEADER_BYTES]);

#endif
