/*
 * What this machine lets us do with FUSE: asked for, not guessed. Nothing here leaves a trace.
 */
#ifndef MINTFS_MOUNT_FUSE_PROBE_H
#define MINTFS_MOUNT_FUSE_PROBE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/* libfuse, as it runs: "3.18.3". */
const char *probe_library_version(void);
/* Whether it was made to speak io_uring. */
bool probe_library_has_uring(void);

/*
 * Mounts by mount(2), in a name space of its own that ends with the call: 0, or a negative errno.
 * -EPERM to whoever has no CAP_SYS_ADMIN, and has to go through fusermount3.
 */
MUST_CHECK int probe_mount(void);

#endif
