/*
 * Waiting for a catalog that another process has locked: with a line after a moment, and not for
 * ever. For catalog.c and catalog_db.c alone.
 */
#ifndef MINTFS_STORE_CATALOG_WAIT_H
#define MINTFS_STORE_CATALOG_WAIT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* Guarded by the catalog's mutex. One wait goes on over several operations, until one succeeds. */
struct catalog_wait {
    const struct store *store; /* borrowed */
    int64_t began_ns;          /* CLOCK_MONOTONIC; 0: nothing is waited for */
    bool is_said;
    bool is_over; /* given up, which is said: whoever comes next is refused at once */
};

/* Makes a connection wait; `wait` stays where it is as long as that is open. */
MUST_CHECK int catalog_wait_install(struct catalog_wait *wait, sqlite3 *db);

/* The catalog has answered. */
void catalog_wait_end(struct catalog_wait *wait);

#endif
