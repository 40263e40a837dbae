/*
 * The limits that a daemon runs with: its own, not those of the process that happened to start it.
 *
 * The daemon serves every process that has a session on the mount, and may be started by any of
 * them: by a test under `ulimit -t`, a build step under `nice`, a shell with a limit on file sizes.
 */
#ifndef MINTFS_MOUNT_LIMITS_H
#define MINTFS_MOUNT_LIMITS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/*
 * Raises all resource limits of this process: the hard ones where the process may
 * (CAP_SYS_RESOURCE), else soft ones to the hard ones. To be called before the first thread is
 * started.
 *
 * A hard limit that stays and can end a daemon or its sessions is logged as a warning. One that is
 * so low that the sessions would fail is an error: -EPERM, logged with the way out. Where the limit
 * on CPU time stays, SIGXCPU comes LIMITS_CPU_RESERVE_SECONDS before the kernel ends the process.
 * SIGXFSZ is ignored: write(2) reports EFBIG.
 */
enum { LIMITS_CPU_RESERVE_SECONDS = 20 };
MUST_CHECK int limits_take_own(void);

/* Raises the limit on open files alone, before the store is opened. Reports nothing: if the limit
 * stays too low, limits_take_own() does. */
void limits_raise_open_files(void);

/*
 * Whether limits_take_own() would fail, and for which limit: "file sizes (1 MiB, ulimit -f)".
 * Raises this process's limits where it may.
 */
bool limits_are_too_low(char *ret_text, size_t size);

/*
 * For a process in the background: no niceness, idle scheduling class, CPU affinity, raised score
 * for the out-of-memory killer or file creation mask of its starter's. What the kernel refuses
 * stays as it is.
 */
void limits_take_own_priority(void);

#endif
