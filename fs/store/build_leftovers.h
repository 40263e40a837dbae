/*
 * Leftovers of builds whose process is gone: directories in building/ and locks.
 *
 *     building/KEY.RANDOM   unpublished work, or a damaged template that was put aside
 *     locks/build-KEY       the holder may create and remove building/KEY.*
 */
#ifndef MINTFS_STORE_BUILD_LEFTOVERS_H
#define MINTFS_STORE_BUILD_LEFTOVERS_H

#include "fs/store/store.h"

/*
 * Removes the leftovers of all keys that no process is building, and those of `held_key` (or NULL),
 * whose lock the caller holds. Files with other names are left alone. A failure is a warning.
 */
void build_leftovers_sweep(const struct store *store, const char *held_key);

/* Warns that v1/building/WORK could not be removed, with the way out. */
void build_leftovers_log(const struct store *store, const char *work, int error);

#endif
