/*
 * What a code of SQLite's means, in words.
 */
#ifndef MINTFS_STORE_SQLITE_ERROR_H
#define MINTFS_STORE_SQLITE_ERROR_H

#include <sqlite3.h>

/*
 * The connection's own message where its last call failed with this code, which says more; else the
 * code's text: not every code comes from a call that sets the message. `db` may be NULL. Valid until
 * the connection's next call.
 */
const char *sqlite_error_text(sqlite3 *db, int code);

#endif
