/*
 * The text of an SQLite result code.
 */
#ifndef MINTFS_STORE_SQLITE_ERROR_H
#define MINTFS_STORE_SQLITE_ERROR_H

#include <sqlite3.h>

/*
 * The connection's message if its last call failed with this code, since that is more specific;
 * else the text of the code. `db` may be NULL. Valid until the connection's next call.
 */
const char *sqlite_error_text(sqlite3 *db, int code);

#endif
