#include "fs/store/sqlite_error.h"

const char *sqlite_error_text(sqlite3 *db, int code)
{
    /* Without a connection SQLite would report a lack of memory. */
    if (db && (sqlite3_extended_errcode(db) & 0xff) == (code & 0xff))
        return sqlite3_errmsg(db);
    return sqlite3_errstr(code);
}
