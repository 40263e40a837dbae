/*
 * System calls that change or read what lies on disk, behind one seam.
 *
 * Each returns 0 or a count, else a negative errno, goes on after EINTR, and transfers all of what
 * was asked for. io_fault_arm() makes the Nth call through the seam fail, for tests; nothing else
 * in mintfs calls pread, pwrite, fsync, rename and their kin directly.
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
/* openat2(2): resolve is one of its RESOLVE_ flags, or several. -ENOSYS, -EPERM where refused. */
MUST_CHECK int io_openat2(int dirfd, const char *path, int flags, uint64_t resolve);

/* Reads up to size bytes; fewer only at the end of the file. Returns the count. */
MUST_CHECK ssize_t io_pread(int fd, void *buffer, size_t size, off_t offset);
/* As io_pread, but a file that ends early is -EIO: for bytes that must be there. */
MUST_CHECK int io_pread_exact(int fd, void *buffer, size_t size, off_t offset);
/* Writes all of it or fails. */
MUST_CHECK int io_pwrite(int fd, const void *buffer, size_t size, off_t offset);

/* Of a directory, too, where the file system can sync those. */
MUST_CHECK int io_fsync(int fd);
/* Lets the kernel begin to write the file's pages, for an io_fsync() that comes later. */
void io_start_writeback(int fd);
MUST_CHECK int io_ftruncate(int fd, off_t size);
MUST_CHECK int io_fallocate(int fd, int mode, off_t offset, off_t length);
MUST_CHECK int io_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);
/*
 * Fails with -EEXIST where `to` exists. Where the file system lacks RENAME_NOREPLACE, that is looked
 * at first: callers give files a name that nobody else gives, and directories something inside.
 */
MUST_CHECK int io_renameat_new(int from_dirfd, const char *from, int to_dirfd, const char *to);
/*
 * Both must exist; each gets the other's name: in one step, or, where the file system lacks
 * RENAME_EXCHANGE, in three, and a process that is killed in between leaves `b` under the name A.old.
 */
MUST_CHECK int io_renameat_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b);
/* Gives a file that was opened with O_TMPFILE its name. */
MUST_CHECK int io_link_fd(int fd, int dirfd, const char *name);
MUST_CHECK int io_unlinkat(int dirfd, const char *name, int flags);
MUST_CHECK int io_mkdirat(int dirfd, const char *name, mode_t mode);
MUST_CHECK int io_fchmod(int fd, mode_t mode);
MUST_CHECK int io_symlinkat(const char *target, int dirfd, const char *name);

/* Copies all of from_fd, from its start, to to_fd, which is empty: a reflink, else a copy in the
 * kernel, else by hand. Holes stay holes where the file system tells of them. Moves the offset of
 * from_fd. */
MUST_CHECK int io_copy_file(int from_fd, int to_fd);
/* FICLONE alone: -EOPNOTSUPP where the file system shares no blocks. */
MUST_CHECK int io_reflink(int from_fd, int to_fd);

/*
 * Makes the Nth call from now (1: the next) fail with `error`; with `sticky` all later ones too.
 * 0 disarms. For tests alone. Calls of other threads are counted too.
 */
void io_fault_arm(unsigned long nth, int error, bool sticky);
/* For what else is to fail in tests, as a call through the seam: whether this one fails. */
bool io_fault_hits(void);
/* Calls that passed the seam since the last io_fault_arm(). */
unsigned long io_fault_count(void);

#endif
