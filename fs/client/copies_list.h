/*
 * Listing plain copies (copies.h), removing them, and sweeping those whose lease has ended.
 */
#ifndef MINTFS_CLIENT_COPIES_LIST_H
#define MINTFS_CLIENT_COPIES_LIST_H

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/store.h"

struct copy {
    char key[SHA256_HEX_LENGTH + 1];
    const char *id;
    const char *path;
};
/* A visitor that returns non-zero ends the visit, which then returns that value. */
typedef int copies_visitor(const struct copy *copy, void *context);
MUST_CHECK int copies_each(const struct store *store, copies_visitor *visit, void *context);

/*
 * A sweep removes copies whose lease has ended and unfinished ones that nobody works on, and
 * records a sign of life for owners that are alive. It logs what it cannot remove.
 */
MUST_CHECK int copies_sweep(const struct store *store);
/* Sweeps, and visits the copies that are left. */
MUST_CHECK int copies_sweep_each(const struct store *store, copies_visitor *visit, void *context);
/*
 * Sweeps the copies in memory of all of this user's stores. If a store's directory was removed by
 * other means (rm -r, git clean), no command on that store can remove its copies.
 */
MUST_CHECK int copies_sweep_memory(void);

/*
 * Removes a copy, and its key's directory if that is empty then. Errors are logged, except -ENOENT:
 * there is no such copy.
 */
MUST_CHECK int copies_remove(const struct store *store, const char *key, const char *id);

#endif
