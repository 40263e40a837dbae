/*
 * A template's files compared with its manifest.
 */
#ifndef MINTFS_STORE_VERIFY_H
#define MINTFS_STORE_VERIFY_H

#include <stdatomic.h>

#include "fs/base/cleanup.h"
#include "fs/store/template.h"

/*
 * Reads every file of the template. What differs, in type, size, digest or target, is said with
 * its path, and -EBADMSG. Modes that another umask or tar left are mended where that can be done.
 * -ECANCELED soon after *stop is set, which may be NULL. *ret_fingerprint is for catalog_add() and
 * catalog_is_verified().
 */
MUST_CHECK int verify_template(const struct template *template, const char *shown_path,
                               const atomic_bool *stop, int64_t *ret_fingerprint);

#endif
