/*
 * Pinning a template, in the store and in the catalog (fs/store/pin.h).
 */
#ifndef MINTFS_STORE_CATALOG_PIN_H
#define MINTFS_STORE_CATALOG_PIN_H

#include "fs/base/cleanup.h"

struct catalog;

/*
 * Pins or unpins a template. If the catalog cannot be changed, neither is the file. Errors are
 * logged, except -ENOENT: the catalog has no such template.
 */
MUST_CHECK int catalog_pin(struct catalog *catalog, const char *key);
MUST_CHECK int catalog_unpin(struct catalog *catalog, const char *key);

#endif
