/*
 * Syncs many files together.
 *
 * One fsync(2) after another waits for the disk each time: 1,835 files on ext4 took 5 s. syncfs(2)
 * also writes back the pages of all other processes on that file system, and reports no errors
 * before Linux 5.8. If writeback has been started (io_start_writeback()), several threads that wait
 * for it need 0.1 s, and hardly more while another process fills the disk.
 */
#ifndef MINTFS_BASE_SYNC_H
#define MINTFS_BASE_SYNC_H

#include <stddef.h>

#include "fs/base/cleanup.h"

/*
 * Syncs these files and directories below dirfd (dir_open_beneath()). Returns the first error, with
 * the index of its path in *ret_failed.
 */
MUST_CHECK int sync_paths(int dirfd, const char *const *paths, size_t count, size_t *ret_failed);

#endif
