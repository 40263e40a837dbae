/*
 * Probes what this machine supports of FUSE. The probes leave nothing behind.
 */
#ifndef MINTFS_MOUNT_FUSE_PROBE_H
#define MINTFS_MOUNT_FUSE_PROBE_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/* The version of libfuse at run time: "3.18.3". */
const char *probe_library_version(void);
/* Whether libfuse was built with support for io_uring. */
bool probe_library_has_uring(void);

/*
 * Tries mount(2) in a mount namespace that exists only during the call. -EPERM: this process has no
 * CAP_SYS_ADMIN and must use fusermount3.
 */
MUST_CHECK int probe_mount(void);

#endif
