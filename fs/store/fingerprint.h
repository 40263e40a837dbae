/*
 * What the files of a template were when they were compared with their manifest.
 *
 * The catalog keeps it, so that its word holds for these very files: other bytes under their names,
 * a directory put in their place or a file changed where it is, have another inode or time of
 * change, which no program sets. Of the manifest it covers what the entries say.
 */
#ifndef MINTFS_STORE_FINGERPRINT_H
#define MINTFS_STORE_FINGERPRINT_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/* No fingerprint is 0, for files that nobody compared, or 1, which earlier versions wrote. */
enum { FINGERPRINT_NONE = 0 };

/*
 * Looks at each file below files_fd, and reads none. -EBADMSG, not logged, where one is missing, of
 * another type or of another size than its entry says.
 */
MUST_CHECK int fingerprint_take(int files_fd, const struct manifest *manifest,
                                int64_t *ret_fingerprint);

#endif
