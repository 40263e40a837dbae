/*
 * Leftovers of builds whose process is gone: directories in building/ and locks.
 *
 *     building/KEY.RANDOM   unpublished work, or a damaged template that was put aside
 *     locks/build-KEY       held as long as KEY is built; who holds it may touch building/KEY.*
 */
#ifndef MINTFS_STORE_BUILD_LEFTOVERS_H
#define MINTFS_STORE_BUILD_LEFTOVERS_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/*
 * Removes leftovers of all keys that nobody builds, and of `held_key`, whose lock the caller holds
 * (or NULL). What has another name is left alone. What cannot be removed is a warning.
 */
void build_leftovers_sweep(const struct store *store, const char *held_key);

/* Warns that v1/building/WORK could not be removed, with the way out. */
void build_leftovers_log(const struct store *store, const char *work, int error);

#endif
