/*
 * Makes sure that a template is in the store: builds it if need be, and then holds the store within
 * its limits.
 */
#ifndef MINTFS_CLIENT_ENSURE_TEMPLATE_H
#define MINTFS_CLIENT_ENSURE_TEMPLATE_H

#include "fs/base/cleanup.h"
#include "fs/store/build.h"

/*
 * As build_template(), which has the errors. With `export_path`, a copy of the template's file is
 * placed there (export_file.h); a path that cannot be used is an error before anything is built.
 */
MUST_CHECK int ensure_template(struct store *store, const struct build_spec *spec,
                               const char *export_path, struct build_result *ret_result);

/*
 * The key of what a user means by `text`: a section of the mintfs.conf in force, which is built if
 * need be, or a template in the store (named.h). NULL means the only section of mintfs.conf.
 * Errors are logged; a signal during the build ends the process.
 */
MUST_CHECK int ensure_named_template(struct store *store, const char *text,
                                     char ret_key[SHA256_HEX_LENGTH + 1]);

#endif
