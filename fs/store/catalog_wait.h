/*
 * Waits for a catalog that another process has locked: logs a message after a second, and gives up
 * after 30 seconds.
 */
#ifndef MINTFS_STORE_CATALOG_WAIT_H
#define MINTFS_STORE_CATALOG_WAIT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* Guarded by the catalog's mutex. A wait lasts over several operations, until one succeeds. */
struct catalog_wait {
    const struct store *store; /* borrowed */
    int64_t began_ns;          /* CLOCK_MONOTONIC; 0: not waiting */
    bool is_logged;
    bool is_over; /* has given up, which is logged: later operations fail at once */
};

/* Makes a connection wait. `wait` must outlive it. */
MUST_CHECK int catalog_wait_install(struct catalog_wait *wait, sqlite3 *db);

/* Ends the wait, after an operation that did not fail because of a lock. */
void catalog_wait_end(struct catalog_wait *wait);

#endif
