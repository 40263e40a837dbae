/*
 * Whether the pages of a SQLite database fit together, whatever its schema says.
 *
 * The schema is what the versions of SQLite, and the functions and collations of an application,
 * disagree about. So it is replaced, inside a transaction that is rolled back, by one that names
 * each b-tree and nothing else; quick_check then walks every page. None of the application's SQL
 * is compiled, so this depends neither on what our SQLite can parse nor on who wrote the schema.
 */
#ifndef MINTFS_STORE_SQLITE_STRUCTURE_H
#define MINTFS_STORE_SQLITE_STRUCTURE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

/* Lets a new connection read and write sqlite_schema even where our SQLite cannot parse what is in
 * it. Comes before the connection's first statement. Returns SQLite's code. */
MUST_CHECK int sqlite_structure_allow(sqlite3 *db);

/* Reads bytes of the main database file through the connection: a descriptor of our own would
 * release SQLite's locks when it is closed. Past the end of the file they are zeros. Returns SQLite's
 * code. */
MUST_CHECK int sqlite_structure_read(sqlite3 *db, void *buffer, size_t size, int64_t offset);

/* Whether SQLite's code speaks of the file, and not of a lock, the disk or memory. */
bool sqlite_structure_is_damage(int code);

/*
 * Checks a database in rollback mode on a connection that sqlite_structure_allow() prepared. The
 * file's bytes stay as they are. SQLITE_OK with *ret_damage NULL: whole; SQLITE_OK with a text,
 * which the caller frees: damaged. Any other code: it could not be checked, so it must be refused.
 */
MUST_CHECK int sqlite_structure_check(sqlite3 *db, char **ret_damage);

#endif
