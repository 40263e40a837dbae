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

/* The setting MINTFS_BACKEND; auto if it is not set. */
enum backend_preference { PREFER_AUTO, PREFER_FUSE, PREFER_COPY };
/* -EINVAL (logged): it has another value. */
MUST_CHECK int backend_read_preference(enum backend_preference *ret_preference);

/*
 * With PREFER_AUTO a mount is started for a template above this size; smaller ones are cheaper to
 * copy. UINT64_MAX: no mount can be started.
 */
uint64_t backend_mount_threshold_bytes(void);

struct backend_choice {
    enum backend backend;
    const char *why; /* a clause, static */
};
/*
 * Chooses the backend for a session of the template KEY, and starts the mount if need be. ret_found
 * is the mount, for BACKEND_FUSE. Errors are logged: -EIO the setting asks for a mount, which is
 * impossible.
 */
MUST_CHECK int backend_choose(const struct store *store, const char *key,
                              struct serve_found *ret_found, struct backend_choice *ret_choice);

#endif
