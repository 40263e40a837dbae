/*
 * Directories, walked by descriptor. No function follows a symbolic link below the descriptor that
 * the caller holds, and none deletes anything on another mount.
 */
#ifndef MINTFS_BASE_DIR_H
#define MINTFS_BASE_DIR_H

#include <stddef.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

/*
 * Opens a relative path below dirfd and returns the descriptor. -ELOOP if a component is a symbolic
 * link, -EXDEV if one is "..".
 */
MUST_CHECK int dir_open_beneath(int dirfd, const char *path, int flags);

/* Opens the directory NAME of dirfd, and creates it with `mode` if it is missing. Returns the
 * descriptor. */
MUST_CHECK int dir_ensure(int dirfd, const char *name, mode_t mode);

/* mkdir -p of an absolute or relative path. Existing directories are not changed. */
MUST_CHECK int dir_make_parents(const char *path, mode_t mode);

/*
 * 1 if `path`, absolute or below dirfd, is on another mount than dirfd itself (a bind mount of a
 * single file is one), else 0, or a negative errno. A symbolic link is not followed. Before Linux
 * 5.8 only mounts of another device can be recognised.
 */
MUST_CHECK int dir_is_on_another_mount(int dirfd, const char *path);

/*
 * Removes NAME of dirfd, a file or a whole tree, and changes modes that forbid it. A missing NAME
 * is no error. If another file system is mounted inside, it stays untouched: -EXDEV.
 */
MUST_CHECK int dir_remove_tree(int dirfd, const char *name);

/*
 * Opens the directory NAME of dirfd for a caller that will remove its entries, and changes a mode
 * that forbids that. Returns the descriptor; -EXDEV if another file system is mounted there.
 */
MUST_CHECK int dir_open_to_empty(int dirfd, const char *name);

/* 1 if the directory is empty, else 0, or a negative errno. */
MUST_CHECK int dir_is_empty(int dirfd);

/*
 * Calls visit(dirfd of the tree, name, d_type, context) for each entry but "." and "..", in the
 * order of the file system. Stops at the first non-zero answer and returns it.
 */
typedef int dir_visitor(int dirfd, const char *name, unsigned char type, void *context);
MUST_CHECK int dir_each(int dirfd, dir_visitor *visit, void *context);

/*
 * Reads the whole regular file NAME of dirfd. *ret_text ends with a NUL after the bytes; the caller
 * frees it. -EFBIG if the file is larger than limit_bytes.
 */
MUST_CHECK int dir_read_file(int dirfd, const char *name, size_t limit_bytes, char **ret_text,
                             size_t *ret_size);

/* The same for an open file; -EINVAL if it is not a regular one. */
MUST_CHECK int dir_read_fd(int fd, size_t limit_bytes, char **ret_text, size_t *ret_size);

/*
 * The name ".NAME.MARK0123456789.tmp" for a file that will be renamed to NAME; the caller frees it.
 * The digits are random: a PID would not be unique among containers that share the directory.
 */
MUST_CHECK int dir_name_beside(const char *name, const char *mark, char **ret_beside);

/*
 * Creates an empty file in dirfd under such a name, which the caller frees. Returns its descriptor,
 * for reading and writing.
 */
MUST_CHECK int dir_create_beside(int dirfd, const char *name, const char *mark, mode_t mode,
                                 char **ret_beside);

/*
 * Writes the file NAME of dirfd in one step: the bytes go to a temporary file, which is synced and
 * renamed. A reader sees the old file or the new one. The caller syncs dirfd if the name must be
 * durable.
 */
MUST_CHECK int dir_write_file(int dirfd, const char *name, const void *data, size_t size,
                              mode_t mode);

#endif
