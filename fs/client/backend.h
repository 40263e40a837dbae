/*
 * Which backend a new session gets: a view on the store's mount, or a plain copy; and why.
 */
#ifndef MINTFS_CLIENT_BACKEND_H
#define MINTFS_CLIENT_BACKEND_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/mount/serve.h"
#include "fs/store/store.h"

enum backend { BACKEND_FUSE, BACKEND_COPY };
const char *backend_name(enum backend backend);

/* What $MINTFS_BACKEND asks for; auto where it is not set. */
enum backend_wish { WISH_AUTO, WISH_FUSE, WISH_COPY };
/* -EINVAL (said) for another word. */
MUST_CHECK int backend_read_wish(enum backend_wish *ret_wish);

/*
 * The size from which a template is worth starting a mount for, where none is up: below it copies
 * are cheaper. UINT64_MAX where no mount can be had.
 */
uint64_t backend_mount_pays_bytes(void);

struct backend_choice {
    enum backend backend;
    const char *why;
};
/*
 * For a session of the template KEY. The mount is started if that is what it takes; ret_found is
 * it, for BACKEND_FUSE. Errors are said: -EIO where MINTFS_BACKEND=fuse cannot be had.
 */
MUST_CHECK int backend_choose(const struct store *store, const char *key,
                              struct serve_found *ret_found, struct backend_choice *ret_choice);

#endif
