/*
 * Pins: templates that gc does not evict. The file v1/pins/KEY is authoritative, so that a pin
 * outlives a catalog that is lost; the catalog has a copy, which gc reads. fs/store/catalog_pin.h
 * changes both.
 */
#ifndef MINTFS_STORE_PIN_H
#define MINTFS_STORE_PIN_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/lock.h"
#include "fs/store/store.h"

/* While the lock is held no pin changes, so that file and catalog agree. Errors are logged. */
MUST_CHECK int pin_lock(const struct store *store, struct lock *lock);

bool pin_exists(const struct store *store, const char *key);

/* Creates or removes the file alone, with the lock held; it may exist already, or not exist. Errors
 * are not logged. */
MUST_CHECK int pin_create(const struct store *store, const char *key);
MUST_CHECK int pin_remove(const struct store *store, const char *key);

#endif
