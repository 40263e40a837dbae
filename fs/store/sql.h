/*
 * SQLite statements. Results are 0 or a negative errno, not logged.
 */
#ifndef MINTFS_STORE_SQL_H
#define MINTFS_STORE_SQL_H

#include <sqlite3.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

/* SQLite's result code as a negative errno; -EBADMSG: the file is damaged, or not the
 * database that its statements expect. */
MUST_CHECK int sql_error(int code);

/* Prepares a statement and binds values in order: 's' const char * or NULL, 'i' int64_t. */
MUST_CHECK int sql_prepare(sqlite3 *db, sqlite3_stmt **ret_statement, const char *sql,
                           const char *types, ...);
/* The same, and runs it to its end. */
MUST_CHECK int sql_run(sqlite3 *db, const char *sql, const char *types, ...);
/* The first column of the first row; -EBADMSG where there is no row. */
MUST_CHECK int sql_number(sqlite3 *db, const char *sql, int64_t *ret_number);

/* Begins a transaction that writes. */
MUST_CHECK int sql_begin(sqlite3 *db);
/* The same, without fsync(2): a crash of the machine may undo it. */
MUST_CHECK int sql_begin_fast(sqlite3 *db);
MUST_CHECK int sql_commit(sqlite3 *db);

static inline void sql_finalizep(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}
#define AUTO_STATEMENT CLEANUP(sql_finalizep)

static inline void sql_closep(sqlite3 **db)
{
    (void)sqlite3_close(*db);
}
#define AUTO_DB CLEANUP(sql_closep)

#endif
