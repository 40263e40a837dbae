#include "fs/store/sqlite_error.h"

const char *sqlite_error_text(sqlite3 *db, int code)
{
    /* SQLite's answer for no connection is about memory, whatever happened. */
    if (db && (sqlite3_extended_errcode(db) & 0xff) == (code & 0xff))
        return sqlite3_errmsg(db);
    return sqlite3_errstr(code);
}
