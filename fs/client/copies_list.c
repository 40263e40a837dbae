#include "fs/client/copies_list.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/base/text.h"
#include "fs/client/copy_lease.h"
#include "fs/client/copy_roots.h"
#include "fs/store/session_id.h"

/* ---- removing ---- */

enum removal { REMOVE_ANY, REMOVE_IF_OVER };

/*
 * Renames a copy to an unfinished one, whose files can then be removed. The caller holds the copy's
 * directory so that no sweep removes it too. REMOVE_IF_OVER: -EBUSY if its lease has not ended.
 */
static int take_name(const struct copy_root *root, int key_fd, const char *id, const char *beside,
                     enum removal removal)
{
    int r = copy_key_lock(key_fd);
    if (r < 0)
        return r;
    if (removal == REMOVE_IF_OVER && copy_lease_judge(root->fd, key_fd, id) != COPY_IS_OVER)
        r = -EBUSY;
    if (r == 0)
        r = io_renameat_new(key_fd, id, key_fd, beside);
    if (r == 0)
        r = copy_lease_write(root->fd, key_fd, id, NULL);
    copy_key_unlock(key_fd);
    return r;
}

static int remove_copy(const struct copy_root *root, const char *key, int key_fd, const char *id,
                       enum removal removal)
{
    char beside[UNFINISHED_NAME_LENGTH + 1];
    AUTO_FD int fd = io_openat(key_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int r = copy_unfinished_name(beside);
    if (r == 0 && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != EWOULDBLOCK)
        r = -errno;
    if (r == 0)
        r = take_name(root, key_fd, id, beside, removal);
    if (r == 0)
        r = dir_remove_tree(key_fd, beside);
    /* Another process has removed it meanwhile, or has renewed its lease. */
    if (r == -ENOENT || r == -EBUSY)
        return r;
    return r < 0 ? log_errno(r, "cannot remove %s/%s/%s", root->path, key, id) : 0;
}

/* ---- sweeping ---- */

/*
 * Removes what a killed process left of a copy. A process that makes one holds the key's lock until
 * it has locked the copy's directory.
 */
static void sweep_unfinished(int key_fd, const char *name)
{
    if (copy_key_lock(key_fd) < 0)
        return;
    AUTO_FD int fd = io_openat(key_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    bool is_left = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    copy_key_unlock(key_fd);
    if (is_left && dir_remove_tree(key_fd, name) < 0)
        log_warning("cannot remove the files of a copy: %s", name);
}

static void renew_lease(int key_fd, const char *id)
{
    int r = copy_key_lock(key_fd);
    if (r == 0) {
        r = copy_lease_renew(key_fd, id);
        copy_key_unlock(key_fd);
    }
    if (r < 0 && r != -EROFS && r != -ENOSPC)
        log_warning("cannot renew the lease of the copy %s: %s", id, strerror(-r));
}

/* Whether the copy is gone afterwards. */
static bool sweep_copy(const struct copy_root *root, const char *key, int key_fd, const char *id)
{
    switch (copy_lease_judge(root->fd, key_fd, id)) {
    case COPY_SHOWS_LIFE:
        renew_lease(key_fd, id);
        return false;
    case COPY_IS_OVER: {
        int r = remove_copy(root, key, key_fd, id, REMOVE_IF_OVER);
        return r == 0 || r == -ENOENT;
    }
    default:
        return false;
    }
}

/*
 * Removes a lease without a copy, left by a process that was killed while it made or removed one.
 */
static void sweep_lease(const struct copy_root *root, int key_fd, const char *id)
{
    struct stat status;
    if (fstatat(key_fd, id, &status, AT_SYMLINK_NOFOLLOW) == 0 || copy_key_lock(key_fd) < 0)
        return;
    if (fstatat(key_fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
        copy_lease_write(root->fd, key_fd, id, NULL) < 0)
        log_warning("cannot remove the lease of the copy %s", id);
    copy_key_unlock(key_fd);
}

/* Removes what a killed process left of a lease. A process that writes one holds the key's lock. */
static void sweep_unfinished_lease(int key_fd, const char *name)
{
    if (copy_key_lock(key_fd) < 0)
        return;
    int r = io_unlinkat(key_fd, name, 0);
    if (r < 0 && r != -ENOENT)
        log_warning("cannot remove a part of a lease: %s", name);
    copy_key_unlock(key_fd);
}

/* ---- listing ---- */

struct visiting {
    copies_visitor *visit; /* or NULL */
    void *context;
    bool sweeps;
    bool removed; /* the sweep has removed a copy */
    const struct copy_root *root;
    const char *key;
};

static int visit_id(int key_fd, const char *name, unsigned char type UNUSED, void *context)
{
    struct visiting *visiting = context;
    if (visiting->sweeps && strncmp(name, UNFINISHED_PREFIX, strlen(UNFINISHED_PREFIX)) == 0)
        sweep_unfinished(key_fd, name);
    if (visiting->sweeps && copy_lease_is_unfinished(name))
        sweep_unfinished_lease(key_fd, name);
    if (visiting->sweeps && copy_lease_id_of(name))
        sweep_lease(visiting->root, key_fd, copy_lease_id_of(name));
    if (!session_id_is_valid(name))
        return 0;
    if (visiting->sweeps && sweep_copy(visiting->root, visiting->key, key_fd, name)) {
        visiting->removed = true;
        return 0;
    }
    if (!visiting->visit)
        return 0;
    AUTO_FREE char *path = text_format("%s/%s/%s", visiting->root->path, visiting->key, name);
    if (!path)
        return -ENOMEM;
    struct copy copy = {.id = name, .path = path};
    (void)snprintf(copy.key, sizeof(copy.key), "%s", visiting->key);
    return visiting->visit(&copy, visiting->context);
}

static int visit_key(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct visiting *visiting = context;
    if (!sha256_is_hex(name))
        return 0;
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    visiting->key = name;
    int r = dir_each(fd, visit_id, visiting);
    if (r == 0 && visiting->sweeps && io_unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
        return 0; /* it contains a session */
    return r;
}

static int visit_root(const struct copy_root *root, void *context)
{
    struct visiting *visiting = context;
    visiting->root = root;
    int r = dir_each(root->fd, visit_key, visiting);
    if (r == 0 && visiting->sweeps)
        copy_owners_sweep(root->fd);
    return r;
}

int copies_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context};
    return copy_root_each(store, visit_root, &visiting);
}

struct wanted {
    const char *key;
    const char *id;
};

static int remove_from_root(const struct copy_root *root, void *context)
{
    const struct wanted *wanted = context;
    AUTO_FD int key_fd = -1;
    int r = copy_root_find(root, wanted->key, wanted->id, &key_fd);
    if (r <= 0)
        return r;
    r = remove_copy(root, wanted->key, key_fd, wanted->id, REMOVE_ANY);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    /* A sweep of another process may have removed the empty directory already. */
    r = io_unlinkat(root->fd, wanted->key, AT_REMOVEDIR);
    return r == 0 || r == -ENOENT || r == -ENOTEMPTY || r == -EEXIST ? 1 : r;
}

int copies_remove(const struct store *store, const char *key, const char *id)
{
    struct wanted wanted = {.key = key, .id = id};
    int r = copy_root_each(store, remove_from_root, &wanted);
    copy_root_leave_memory(store);
    return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int copies_sweep_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context, .sweeps = true};
    int r = copy_root_each(store, visit_root, &visiting);
    if (visiting.removed)
        copy_root_leave_memory(store);
    return r;
}

int copies_sweep(const struct store *store)
{
    return copies_sweep_each(store, NULL, NULL);
}

int copies_sweep_memory(void)
{
    struct visiting visiting = {.sweeps = true};
    return copy_root_each_in_memory(visit_root, &visiting);
}
