/*
 * building/KEY.RANDOM: the directory that a builder fills, and that publishing renames to
 * templates/KEY. The holder of the lock build-KEY creates, renames and removes it.
 */
#ifndef MINTFS_STORE_BUILD_WORK_H
#define MINTFS_STORE_BUILD_WORK_H

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/store.h"

enum { BUILD_WORK_NAME_SIZE = SHA256_HEX_LENGTH + 1 + 8 + 1 };

struct build_work {
    const struct store *store;
    char name[BUILD_WORK_NAME_SIZE]; /* "": there is no directory to remove */
    int fd;
    int files_fd;     /* of files/ in it */
    char *files_path; /* absolute: the value of {dir} */
    char *out_path;   /* absolute: the value of {out} */
};
#define BUILD_WORK_INIT                                                                            \
    {                                                                                              \
        .fd = -1, .files_fd = -1                                                                   \
    }

/*
 * Creates the directory, with files/ and the parents of `file` in it. Errors are logged;
 * build_work_fini() removes what was created before the error.
 */
MUST_CHECK int build_work_create(const struct store *store, const char *key, const char *file,
                                 struct build_work *work);

/* Removes the parents of `file` that the builder has left empty: they are not part of the
 * template. */
MUST_CHECK int build_work_remove_empty_parents(const struct build_work *work, const char *file);

/* Renames the directory to templates/KEY; its content must be synced. Errors are logged. */
MUST_CHECK int build_work_publish(struct build_work *work, const char *key);

/* Removes the directory unless it was published. A failure is a warning. */
void build_work_fini(struct build_work *work);
#define AUTO_BUILD_WORK CLEANUP(build_work_fini)

#endif
