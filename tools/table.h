/*
 * Tables that fit the terminal.
 */
#ifndef MINTFS_TOOLS_TABLE_H
#define MINTFS_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

/*
 * A table. Columns that do not fit go, those of the highest `rank` first; rank 0 stays. Of what is
 * left the column that may be cut is cut. Where that does not fit either, each row becomes a
 * paragraph with all its cells. Without a terminal and COLUMNS nothing is left out.
 */
struct column {
    const char *title;
    unsigned rank;
    bool right; /* aligned */
    bool cut;   /* may be shortened, with ".." at its end */
};
struct table;
MUST_CHECK int table_new(const struct column *columns, size_t count, struct table **ret_table);
/* One row: `count` texts, which are copied. */
MUST_CHECK int table_add(struct table *table, const char *const *cells);
size_t table_rows(const struct table *table);
void table_print(const struct table *table);
void table_free(struct table *table);
void table_freep(struct table **table);
#define AUTO_TABLE CLEANUP(table_freep)

#endif
