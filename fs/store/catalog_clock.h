/*
 * The catalog's clock: the time that is recorded for a use of a template, and at which ages are
 * measured (fs/store/age.h).
 */
#ifndef MINTFS_STORE_CATALOG_CLOCK_H
#define MINTFS_STORE_CATALOG_CLOCK_H

#include "fs/base/cleanup.h"
#include "fs/store/age.h"

struct sqlite3;
struct catalog;

/*
 * Within a transaction that writes: reads the clock, and records the reading. Uses that a wrong
 * clock had recorded far in the future are set to now. 0 or -errno, not logged.
 */
MUST_CHECK int catalog_clock_tick(struct sqlite3 *db, struct age_reading *ret_reading);

/* Reads the clock, and records nothing. Errors are logged, as by the next function. */
MUST_CHECK int catalog_age_now(struct catalog *catalog, struct age_reading *ret_reading);

/* Reads the clock and records the reading, as each use of a template does. */
MUST_CHECK int catalog_note_time(struct catalog *catalog);

#endif
