/*
 * The databases of failed tests that a user asked to keep (pytest --mintfs-keep-failed). They are
 * stored in the project, not in the store: v1/kept has a symbolic link to each directory of them.
 * The file mintfs-kept in such a directory names them, one per line; other files there are not
 * ours.
 */
#ifndef MINTFS_CLIENT_KEPT_DATABASES_H
#define MINTFS_CLIENT_KEPT_DATABASES_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

/* The databases in one directory. */
struct kept_databases {
    const char *path; /* of the directory, absolute */
    size_t count;
    uint64_t bytes; /* on disk */
};
/* A visitor that returns non-zero ends the visit, which then returns that value. */
typedef int kept_databases_visitor(const struct kept_databases *kept, void *context);
/* Visits each directory that still has such databases. */
MUST_CHECK int kept_databases_each(const struct store *store, kept_databases_visitor *visit,
                                   void *context);

/* Removes them, and the directories that are empty then; the links stay. Errors are logged. */
MUST_CHECK int kept_databases_remove(const struct store *store);

#endif
