/*
 * Checks the pages of an SQLite database independently of its schema.
 *
 * A schema may need another version of SQLite, or functions and collations of the application. So,
 * inside a transaction that is rolled back, it is replaced by one that only names each b-tree, and
 * quick_check then walks every page. No SQL of the application is compiled, so the result does not
 * depend on what our SQLite can parse.
 */
#ifndef MINTFS_STORE_SQLITE_STRUCTURE_H
#define MINTFS_STORE_SQLITE_STRUCTURE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

/* Lets a new connection read and write sqlite_schema even if our SQLite cannot parse its content.
 * To be called before the connection's first statement. Returns SQLite's code. */
MUST_CHECK int sqlite_structure_allow(sqlite3 *db);

/* Reads bytes of the main database file through the connection, since closing a descriptor of our
 * own would release SQLite's locks. Bytes past the end are zero. Returns SQLite's code. */
MUST_CHECK int sqlite_structure_read(sqlite3 *db, void *buffer, size_t size, int64_t offset);

/* Whether SQLite's code is about the file, and not about a lock, the disk or memory. */
bool sqlite_structure_is_damage(int code);

/*
 * Checks a database in rollback mode on a connection that sqlite_structure_allow() prepared. The
 * file does not change. SQLITE_OK with *ret_damage NULL: sound; SQLITE_OK with a text, which the
 * caller frees: damaged. Any other code: it could not be checked, so it must be refused.
 */
MUST_CHECK int sqlite_structure_check(sqlite3 *db, char **ret_damage);

#endif
