/*
 * The directory templates/: which keys are published there, and their manifests.
 */
#ifndef MINTFS_STORE_TEMPLATE_DIR_H
#define MINTFS_STORE_TEMPLATE_DIR_H

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

/* Whether templates/KEY is published; cheap enough for lookups. */
bool template_exists(const struct store *store, const char *key);

/* The path of templates/KEY, for messages; the caller frees it. NULL: no memory. */
char *template_path(const struct store *store, const char *key);

/*
 * Reads the manifest of templates/KEY. -EBADMSG: it is damaged, which is logged, or it is that of
 * another key, which only `mintfs verify` reports. -ENOENT, not logged: there is no such directory.
 */
MUST_CHECK int template_read_manifest(const struct store *store, const char *key,
                                      struct manifest **ret_manifest);

/* Calls visit(key, key, context) for each published key in order; stops at the first result that is
 * not zero, and returns it. Errors of the directory are logged. */
typedef int template_visitor(const char *text, const char *key, void *context);
MUST_CHECK int template_each_key(const struct store *store, template_visitor *visit, void *context);

#endif
