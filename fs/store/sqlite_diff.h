/*
 * Two SQLite databases compared by what they say: schema and rows, not bytes.
 */
#ifndef MINTFS_STORE_SQLITE_DIFF_H
#define MINTFS_STORE_SQLITE_DIFF_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/*
 * Appends a line for each difference between the databases at these absolute paths, the first the
 * one that is cached: objects of the schema that only one has or that differ, and for each table
 * how many rows and which columns differ. Rows count as a set, with their number. Virtual tables
 * are compared by the tables behind them, and values byte by byte. A table that our SQLite cannot
 * read is a line, too. Neither schema is trusted: no expression of theirs runs. Errors are logged.
 */
MUST_CHECK int sqlite_diff(const char *cached, const char *fresh, const char *shown,
                           struct strlist *differences);

#endif
