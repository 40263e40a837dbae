/*
 * A template built a second time, cold, and compared with the one that is cached: for the day a
 * builder is suspected of not being deterministic.
 */
#ifndef MINTFS_STORE_REPRODUCE_H
#define MINTFS_STORE_REPRODUCE_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

/*
 * Runs the builder of the template KEY (64 digits) into a store of its own that is gone afterwards;
 * what the builder itself builds is built again too. `spec_or_null` is what KEY was computed from;
 * NULL: what the template's manifest tells of it, in the current directory and with the variables
 * that were declared. The inputs must then be those of KEY: -ESTALE, said, with what differs.
 * *ret_differences gets a line each; none: the same files, and in databases the same schema and
 * rows. Other errors are said: -EBUSY somebody builds it, and those of build_template().
 * The environment of this process is changed.
 */
MUST_CHECK int reproduce_template(struct store *store, const char *key,
                                  const struct build_spec *spec_or_null,
                                  struct strlist *ret_differences);

#endif
