#include "fs/store/sql.h"

#include <errno.h>
#include <stdarg.h>

int sql_error(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        /* The file was moved or replaced: the caller opens the new one, as if it were damaged. */
        return code == SQLITE_READONLY_DBMOVED ? -EBADMSG : -EROFS;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our own fixed statements fail to compile: not our schema */
    case SQLITE_SCHEMA:
        return -EBADMSG;
    case SQLITE_CANTOPEN:
        return code == SQLITE_CANTOPEN_SYMLINK ? -EBADMSG : -EACCES;
    default:
        return -EIO;
    }
}

static int prepare(sqlite3 *db, sqlite3_stmt **ret_statement, const char *sql, const char *types,
                   va_list values)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    for (int i = 0; code == SQLITE_OK && types[i]; i++) {
        if (types[i] == 's')
            code = sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1,
                                     SQLITE_TRANSIENT);
        else
            code = sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
    }
    if (code != SQLITE_OK)
        return sql_error(code);
    *ret_statement = steal_pointer(&statement);
    return 0;
}

int sql_prepare(sqlite3 *db, sqlite3_stmt **ret_statement, const char *sql, const char *types, ...)
{
    va_list values;
    va_start(values, types);
    int r = prepare(db, ret_statement, sql, types, values);
    va_end(values);
    return r;
}

int sql_run(sqlite3 *db, const char *sql, const char *types, ...)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    va_list values;
    va_start(values, types);
    int r = prepare(db, &statement, sql, types, values);
    va_end(values);
    int code = SQLITE_ROW;
    while (r == 0 && code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            r = sql_error(sqlite3_extended_errcode(db));
    }
    return r;
}

int sql_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
    AUTO_STATEMENT sqlite3_stmt *statement = NULL;
    int r = sql_prepare(db, &statement, sql, "");
    if (r < 0)
        return r;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? -EBADMSG : sql_error(sqlite3_extended_errcode(db));
    *ret_number = sqlite3_column_int64(statement, 0);
    return 0;
}

static int begin(sqlite3 *db, const char *synchronous)
{
    int code = sqlite3_exec(db, synchronous, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    return sql_error(code);
}

int sql_begin(sqlite3 *db)
{
    return begin(db, "PRAGMA synchronous=NORMAL");
}

int sql_begin_fast(sqlite3 *db)
{
    return begin(db, "PRAGMA synchronous=OFF");
}

int sql_commit(sqlite3 *db)
{
    return sql_error(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
}
