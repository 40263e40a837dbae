/*
 * Builds a template a second time and compares it with the cached one, to find out whether its
 * builder is deterministic.
 */
#ifndef MINTFS_STORE_REPRODUCE_H
#define MINTFS_STORE_REPRODUCE_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

/*
 * Runs the builder of the template KEY (64 digits) in a temporary store of its own, so that
 * templates on which the builder depends are built again too. `spec_or_null` is the specification
 * of KEY; NULL: it is taken from the template's manifest, with the inputs in the current directory,
 * which must give the same key: else -ESTALE. Appends a line for each difference to
 * *ret_differences; no line means the same files, and databases with the same schema and rows.
 * Errors are logged: -EBUSY: the template is being built; and those of build_template(). Changes
 * the environment of this process.
 */
MUST_CHECK int reproduce_template(struct store *store, const char *key,
                                  const struct build_spec *spec_or_null,
                                  struct strlist *ret_differences);

#endif
