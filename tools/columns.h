/*
 * Tables that fit the terminal.
 */
#ifndef MINTFS_TOOLS_COLUMNS_H
#define MINTFS_TOOLS_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

/*
 * If the table is too wide, columns are left out, the highest `rank` first; those of rank 0 stay.
 * Then the columns with `cut` are shortened. If it is still too wide, each row becomes a paragraph
 * with all its cells. Without a terminal and COLUMNS nothing is left out.
 */
struct column {
    const char *title;
    unsigned rank;
    bool right; /* aligned to the right */
    bool cut;   /* may be shortened, with ".." at its end */
};
struct columns;
/* Makes an empty table. `columns` is copied, but not the titles. */
MUST_CHECK int columns_new(const struct column *columns, size_t count, struct columns **ret_table);
/* Adds a row of `count` texts, which are copied. */
MUST_CHECK int columns_add(struct columns *table, const char *const *cells);
/* The number of rows. */
size_t columns_rows(const struct columns *table);
/* Prints the table on stdout. */
void columns_print(const struct columns *table);
void columns_free(struct columns *table);
void columns_freep(struct columns **table);
#define AUTO_TABLE CLEANUP(columns_freep)

#endif
