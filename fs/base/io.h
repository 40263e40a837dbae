/*
 * The system calls that read or change files, behind one seam.
 *
 * Each function returns 0 or a count, else a negative errno. It retries after EINTR and transfers
 * all the bytes. For tests, io_fault_arm() makes the Nth call through the seam fail; so the rest of
 * mintfs never calls pread, pwrite, fsync, rename and the like directly.
 */
#ifndef MINTFS_BASE_IO_H
#define MINTFS_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

/* Always adds O_CLOEXEC. */
MUST_CHECK int io_openat(int dirfd, const char *path, int flags, mode_t mode);
/* openat2(2) with RESOLVE_ flags. -ENOSYS or -EPERM where the kernel or a container refuses it. */
MUST_CHECK int io_openat2(int dirfd, const char *path, int flags, uint64_t resolve);

/* Reads size bytes, fewer only at the end of the file. Returns the count. */
MUST_CHECK ssize_t io_pread(int fd, void *buffer, size_t size, off_t offset);
/* As io_pread, for bytes that must exist: -EIO if the file ends before them. */
MUST_CHECK int io_pread_exact(int fd, void *buffer, size_t size, off_t offset);
/* Writes all size bytes. */
MUST_CHECK int io_pwrite(int fd, const void *buffer, size_t size, off_t offset);

/* For directories too, if the file system can sync them. */
MUST_CHECK int io_fsync(int fd);
/* Starts writing the file's pages to the disk, so that a later io_fsync() takes less time. */
void io_start_writeback(int fd);
MUST_CHECK int io_ftruncate(int fd, off_t size);
MUST_CHECK int io_fallocate(int fd, int mode, off_t offset, off_t length);
MUST_CHECK int io_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);
/*
 * -EEXIST if `to` exists. Without RENAME_NOREPLACE in the file system this is checked before the
 * rename, so callers choose file names that no other process uses, and directories are not empty.
 */
MUST_CHECK int io_renameat_new(int from_dirfd, const char *from, int to_dirfd, const char *to);
/*
 * Exchanges the names of two existing files: in one step or, without RENAME_EXCHANGE in the file
 * system, in three. A process that is killed between those leaves `b` under the name A.old.
 */
MUST_CHECK int io_renameat_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b);
/* Gives a name to a file that was opened with O_TMPFILE. */
MUST_CHECK int io_link_fd(int fd, int dirfd, const char *name);
MUST_CHECK int io_unlinkat(int dirfd, const char *name, int flags);
MUST_CHECK int io_mkdirat(int dirfd, const char *name, mode_t mode);
MUST_CHECK int io_fchmod(int fd, mode_t mode);
MUST_CHECK int io_symlinkat(const char *target, int dirfd, const char *name);

/* Copies the whole of from_fd to the empty file to_fd: by reflink, else in the kernel, else through
 * a buffer. Holes stay holes where the file system reports them. Moves the offset of from_fd. */
MUST_CHECK int io_copy_file(int from_fd, int to_fd);
/* FICLONE only: -EOPNOTSUPP if the file system cannot share blocks. */
MUST_CHECK int io_reflink(int from_fd, int to_fd);

enum io_fault_span { IO_FAULT_ONCE, IO_FAULT_FROM_THEN_ON };
/*
 * For tests: makes the Nth call from now (1: the next) fail with `error`, or it and all later
 * calls. 0 disarms. Calls of all threads are counted.
 */
void io_fault_arm(unsigned long nth, int error, enum io_fault_span span);
/* Counts as a call through the seam and returns whether it must fail, for other faults in tests. */
bool io_fault_hits(void);
/* Calls through the seam since the last io_fault_arm(). */
unsigned long io_fault_count(void);

#endif
