/*
 * Makes one SQLite database ready for a template.
 */
#ifndef MINTFS_STORE_SEAL_SQLITE_H
#define MINTFS_STORE_SEAL_SQLITE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

enum sqlite_kind {
    SQLITE_KIND_NONE,     /* not a database, or an encrypted one: opaque bytes */
    SQLITE_KIND_DATABASE, /* SQLite reads it */
    SQLITE_KIND_UNKNOWN,  /* a format version that SQLite does not know: opaque bytes */
};

struct sqlite_header {
    enum sqlite_kind kind;
    bool is_wal;
    unsigned version; /* the higher one of the two format versions */
};

/*
 * Finds out what kind of file `path`, below dirfd, is, or will be after SQLite has applied the
 * journal or the log beside it. A file that is encrypted except for SQLite's magic (SQLCipher's
 * plaintext header) is SQLITE_KIND_NONE. Errors are not logged.
 */
MUST_CHECK int seal_sqlite_detect(int dirfd, const char *path, struct sqlite_header *ret_header);

/* The same by the file's own header alone, for a file with no journal or log beside it. */
MUST_CHECK int seal_sqlite_detect_written(int dirfd, const char *path,
                                          struct sqlite_header *ret_header);

/*
 * Recovers, checkpoints, switches to rollback mode and checks the database at this path of
 * sqlite_path_find(), which messages call `shown`. Rows and schema do not change; no trigger or
 * extension runs. -EBADMSG: its structure is damaged, as *ret_damage describes, which the caller
 * logs and frees. Anything else that SQLite finds, or cannot check, is logged and added to
 * `warnings`. -EBUSY and the disk's errors are logged; -EINTR is not. *ret_starts_in_wal: it was in
 * WAL mode.
 */
MUST_CHECK int seal_sqlite(const char *path, const char *shown, struct strlist *warnings,
                           bool *ret_starts_in_wal, char **ret_damage);

#endif
