/*
 * Directories, walked by descriptor: nothing here follows a symbolic link below the descriptor
 * that the caller holds, and nothing is deleted across a mount.
 */
#ifndef MINTFS_BASE_DIR_H
#define MINTFS_BASE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

/*
 * Opens a relative path below dirfd. No component may be a symbolic link or "..":
 * -ELOOP or -EXDEV then. Returns the descriptor.
 */
MUST_CHECK int dir_open_beneath(int dirfd, const char *path, int flags);

/* Opens the directory NAME of dirfd, which is made with `mode` if missing. Returns the descriptor.
 */
MUST_CHECK int dir_ensure(int dirfd, const char *name, mode_t mode);

/* mkdir -p of an absolute or relative path; what exists is left as it is. */
MUST_CHECK int dir_make_parents(const char *path, mode_t mode);

/*
 * 1 if `path`, absolute or below dirfd, is on another mount than dirfd itself (a bind mount of one
 * file counts), else 0, or a negative errno. A symbolic link is not followed. Kernels before 5.8 tell
 * only mounts of another device.
 */
MUST_CHECK int dir_is_on_another_mount(int dirfd, const char *path);

/*
 * Removes NAME of dirfd, a file or a whole tree. Modes that forbid it are mended on the way.
 * A missing NAME is no error; another file system mounted inside is -EXDEV and stays untouched.
 */
MUST_CHECK int dir_remove_tree(int dirfd, const char *name);

/*
 * Opens the directory NAME of dirfd for somebody who is to remove what is in it: a mode that forbids
 * that is mended; -EXDEV where another file system is mounted there. Returns the descriptor.
 */
MUST_CHECK int dir_open_to_empty(int dirfd, const char *name);

/* 1: empty, 0: not, or a negative errno. */
MUST_CHECK int dir_is_empty(int dirfd);

/*
 * Calls visit(dirfd of the tree, name, d_type, context) for each entry but "." and "..", in the
 * order of the file system. Stops at the first non-zero answer and returns it.
 */
typedef int dir_visitor(int dirfd, const char *name, unsigned char type, void *context);
MUST_CHECK int dir_each(int dirfd, dir_visitor *visit, void *context);

/*
 * Reads the regular file NAME of dirfd whole; *ret_text gets a NUL behind the bytes.
 * -EFBIG where it is larger than limit_bytes.
 */
MUST_CHECK int dir_read_file(int dirfd, const char *name, size_t limit_bytes, char **ret_text,
                             size_t *ret_size);

/* The same for a file that is open; -EINVAL where it is not a regular one. */
MUST_CHECK int dir_read_fd(int fd, size_t limit_bytes, char **ret_text, size_t *ret_size);

/*
 * The name ".NAME.MARK0123456789.tmp" for a file that is to be renamed to NAME, which the caller then
 * owns. Nobody else uses it: a PID in its place would be that of processes in other containers too.
 */
MUST_CHECK int dir_name_beside(const char *name, const char *mark, char **ret_beside);

/*
 * Makes an empty file in dirfd under such a name, which the caller then owns: one that nothing had.
 * Returns its descriptor, for reading and writing.
 */
MUST_CHECK int dir_create_beside(int dirfd, const char *name, const char *mark, mode_t mode,
                                 char **ret_beside);

/*
 * Puts a file NAME with these bytes into dirfd: written beside, synced, renamed. A reader sees the
 * old file or the new one. The caller syncs dirfd where the name must be durable.
 */
MUST_CHECK int dir_write_file(int dirfd, const char *name, const void *data, size_t size,
                              mode_t mode);

#endif
