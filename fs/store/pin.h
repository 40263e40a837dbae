/*
 * Pins: templates that gc leaves alone. The file v1/pins/KEY is the truth, so that a pin outlives
 * a catalog that is lost; the catalog's column is what gc reads, and says the same.
 */
#ifndef MINTFS_STORE_PIN_H
#define MINTFS_STORE_PIN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/store/store.h"

/* While this is held no pin changes: file and catalog agree. Errors are logged. */
MUST_CHECK int pin_lock(const struct store *store, struct lock *lock);

bool pin_exists(const struct store *store, const char *key);

/* Sets or takes away the pin of a template that is there; one that is refused stays as it was. Errors
 * are said, but -ENOENT: the catalog knows no such template. */
MUST_CHECK int pin_set(const struct store *store, const char *key, bool pinned);

#endif
