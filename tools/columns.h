/*
 * Tables that fit the terminal.
 */
#ifndef MINTFS_TOOLS_COLUMNS_H
#define MINTFS_TOOLS_COLUMNS_H

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
struct columns;
MUST_CHECK int columns_new(const struct column *columns, size_t count, struct columns **ret_table);
/* One row: `count` texts, which are copied. */
MUST_CHECK int columns_add(struct columns *table, const char *const *cells);
size_t columns_rows(const struct columns *table);
void columns_print(const struct columns *table);
void columns_free(struct columns *table);
void columns_freep(struct columns **table);
#define AUTO_TABLE CLEANUP(columns_freep)

#endif
