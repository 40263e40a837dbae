/*
 * Identifies the files of a template as they were when they were compared with their manifest.
 *
 * The catalog stores the fingerprint with its record that a template was verified. A file that has
 * been replaced or changed since has another inode or another time of change (ctime), which no
 * program can set. It also covers the entries of the manifest.
 */
#ifndef MINTFS_STORE_FINGERPRINT_H
#define MINTFS_STORE_FINGERPRINT_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/* Fingerprints are never 0 (never compared) or 1 (written by earlier versions). */
enum { FINGERPRINT_NONE = 0 };

/*
 * Takes the fingerprint of the files below files_fd, and reads none of them. -EBADMSG, not logged:
 * a file is missing, or its type or size differs from its entry.
 */
MUST_CHECK int fingerprint_take(int files_fd, const struct manifest *manifest,
                                int64_t *ret_fingerprint);

#endif
