/*
 * Compares two SQLite databases by schema and rows, not by bytes.
 */
#ifndef MINTFS_STORE_SQLITE_DIFF_H
#define MINTFS_STORE_SQLITE_DIFF_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

/*
 * Appends a line, which begins with `shown`, for each difference between the databases at these
 * absolute paths: objects of the
 * schema that differ or that only one has, and for each table how many rows and which columns
 * differ. The order of rows does not matter. Virtual tables are compared by the tables that store
 * them, and values byte by byte. A table that our SQLite cannot read also gives a line. No
 * expression of either schema runs. Errors are logged.
 */
MUST_CHECK int sqlite_diff(const char *cached, const char *fresh, const char *shown,
                           struct strlist *differences);

#endif
