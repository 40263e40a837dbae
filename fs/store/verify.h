/*
 * Compares the files of a template with its manifest.
 */
#ifndef MINTFS_STORE_VERIFY_H
#define MINTFS_STORE_VERIFY_H

#include <stdatomic.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * Reads every file of the template, below files_fd. The first that differs in type, size, digest or
 * target is logged with its path below `shown_path`: -EBADMSG. Modes that differ, as after tar
 * under another umask, are repaired where possible. -ECANCELED soon after *stop is set; `stop` may
 * be NULL. *ret_fingerprint is for catalog_add() and catalog_is_verified().
 */
MUST_CHECK int verify_template(int files_fd, const struct manifest *manifest,
                               const char *shown_path, const atomic_bool *stop,
                               int64_t *ret_fingerprint);

#endif
