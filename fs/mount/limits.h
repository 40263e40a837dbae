/*
 * Resource limits and priority of the daemon, independent of the process that happened to start it.
 *
 * The daemon serves every process that has a session on the mount, and any of them may have started
 * it: a test under `ulimit -t`, a build step under `nice`, a shell with a limit on file sizes.
 */
#ifndef MINTFS_MOUNT_LIMITS_H
#define MINTFS_MOUNT_LIMITS_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/*
 * Raises all resource limits of this process: the hard limits if permitted (CAP_SYS_RESOURCE), else
 * the soft limits to the hard ones. Call it before the first thread is started.
 *
 * Logs a warning for a hard limit that cannot be raised and can end the daemon or its sessions.
 * -EPERM, logged with a remedy, if such a limit is so low that the sessions would fail. If CPU time
 * stays limited, SIGXCPU arrives LIMITS_CPU_RESERVE_SECONDS before the kernel ends the process.
 * SIGXFSZ is ignored, so that write(2) reports EFBIG.
 */
enum { LIMITS_CPU_RESERVE_SECONDS = 20 };
MUST_CHECK int limits_take_own(void);

/*
 * Raises only the limit on open files, before the store is opened. It logs nothing: if the limit is
 * still too low, limits_take_own() reports it.
 */
void limits_raise_open_files(void);

/*
 * Whether limits_take_own() would fail, and for which limit: "file sizes (1 MiB, ulimit -f)".
 * Raises this process's limits as far as permitted.
 */
bool limits_are_too_low(char *ret_text, size_t size);

/*
 * For a process in the background: resets the niceness, scheduling class, I/O priority, CPU
 * affinity, raised score for the out-of-memory killer, and file creation mask that it inherited.
 * What the kernel refuses to change stays as it is.
 */
void limits_take_own_priority(void);

#endif
