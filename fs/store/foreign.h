/*
 * Templates that belong to another user and cannot be read, for instance because a step of a CI job
 * ran as root and restored them from a cache. They are neither missing nor damaged, and no builder
 * should run for them, since nothing could be published under their key.
 */
#ifndef MINTFS_STORE_FOREIGN_H
#define MINTFS_STORE_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/store.h"

struct foreign {
    size_t count;
    char key[SHA256_HEX_LENGTH + 1]; /* of the first one found */
    uid_t uid;                       /* its owner */
};

/* Whether templates/KEY is one; *ret_uid is then its owner. */
bool foreign_is(const struct store *store, const char *key, uid_t *ret_uid);

/* Finds those whose keys begin with the prefix, in upper or lower case; "": all. Errors are
 * logged. */
MUST_CHECK int foreign_find(const struct store *store, const char *prefix,
                            struct foreign *ret_foreign);

/* Logs who owns them and the command that changes that; returns -EACCES. */
int foreign_log(const struct store *store, const struct foreign *foreign);

/* The same for a path inside a template. */
int foreign_log_path(const char *path, uid_t uid, const char *template_path);

#endif
