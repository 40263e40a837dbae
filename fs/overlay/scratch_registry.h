/*
 * The scratches outside the store: each has a record, v1/scratches/DIGITS, a file with its path. It
 * is written before the first session can be created there, and removed when the scratch is closed
 * without sessions.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_REGISTRY_H
#define MINTFS_OVERLAY_SCRATCH_REGISTRY_H

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* Writes and removes the record of a scratch; `path` is absolute. */
MUST_CHECK int scratch_registry_add(const struct store *store, const char *path);
MUST_CHECK int scratch_registry_remove(const struct store *store, const char *path);

/* Each scratch on record, whether or not it still exists. */
typedef int scratch_registry_visitor(const char *path, void *context);
MUST_CHECK int scratch_registry_each(const struct store *store, scratch_registry_visitor *visit,
                                     void *context);

#endif
