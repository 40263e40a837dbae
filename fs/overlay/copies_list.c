/* Copies that are there: their leases, the list, and how they go. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/overlay/copies.h"
#include "fs/overlay/copies_places.h"
#include "fs/overlay/scratch.h"

/* ---- leases ---- */

static const char lease_prefix[] = ".lease-";
enum { LEASE_NAME_MAX = sizeof(lease_prefix) + SESSION_ID_MAX, LEASE_TEXT_MAX = 80 };

static void fill_lease_name(char name[LEASE_NAME_MAX + 1], const char *id)
{
    (void)snprintf(name, LEASE_NAME_MAX + 1, "%s%s", lease_prefix, id);
}

int copies_set_lease(const struct store *store, const char *key, const char *id,
                     const struct session_lease *lease)
{
    AUTO_FD int key_fd = copies_open_place(store, key, id);
    if (key_fd < 0)
        return key_fd;
    char name[LEASE_NAME_MAX + 1];
    char text[LEASE_TEXT_MAX];
    fill_lease_name(name, id);
    int length = snprintf(text, sizeof(text), "%" PRId64 " %" PRId32 " %" PRIu64 "\n",
                          lease->ends_ns, lease->owner.pid, lease->owner.start);
    return dir_write_file(key_fd, name, text, (size_t)length, 0600);
}

static bool is_over(int key_fd, const char *id)
{
    char name[LEASE_NAME_MAX + 1];
    fill_lease_name(name, id);
    AUTO_FREE char *text = NULL;
    struct session_lease lease = {0};
    if (dir_read_file(key_fd, name, LEASE_TEXT_MAX, &text, NULL) < 0 ||
        sscanf(text, "%" SCNd64 " %" SCNd32 " %" SCNu64, &lease.ends_ns, &lease.owner.pid,
               &lease.owner.start) != 3)
        return false;
    return session_lease_is_over(&lease);
}

/* ---- listing ---- */

/* Removes what a killed process left of a copy. */
static void sweep_unfinished(int dirfd, const char *name)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && dir_remove_tree(dirfd, name) < 0)
        log_warning("files of a copy stay behind: %s", name);
}

static int remove_copy(const struct root *root, const char *key, int key_fd, const char *id)
{
    char lease[LEASE_NAME_MAX + 1];
    fill_lease_name(lease, id);
    int r = dir_remove_tree(key_fd, lease);
    if (r == 0)
        r = dir_remove_tree(key_fd, id);
    return r < 0 ? log_errno(r, "cannot remove %s/%s/%s", root->path, key, id) : 0;
}

struct visiting {
    copies_visitor *visit; /* or NULL */
    void *context;
    bool sweeps;
    bool removed; /* something was, by that */
    const struct root *root;
    const char *key;
};

static int visit_id(int key_fd, const char *name, unsigned char type UNUSED, void *context)
{
    struct visiting *visiting = context;
    if (visiting->sweeps && strncmp(name, UNFINISHED_PREFIX, strlen(UNFINISHED_PREFIX)) == 0)
        sweep_unfinished(key_fd, name);
    if (!session_id_is_valid(name))
        return 0;
    if (visiting->sweeps && is_over(key_fd, name) &&
        remove_copy(visiting->root, visiting->key, key_fd, name) == 0) {
        visiting->removed = true;
        return 0;
    }
    if (!visiting->visit)
        return 0;
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s/%s", visiting->root->path, visiting->key, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
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
        return 0; /* a session is in it */
    return r;
}

static int visit_root(const struct root *root, void *context)
{
    struct visiting *visiting = context;
    visiting->root = root;
    return dir_each(root->fd, visit_key, visiting);
}

int copies_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context};
    return root_each(store, visit_root, &visiting);
}

struct wanted {
    const char *key;
    const char *id;
};

static int remove_from_root(const struct root *root, void *context)
{
    const struct wanted *wanted = context;
    AUTO_FD int key_fd = -1;
    int r = root_find_copy(root, wanted->key, wanted->id, &key_fd);
    if (r <= 0)
        return r;
    r = remove_copy(root, wanted->key, key_fd, wanted->id);
    if (r < 0)
        return r;
    /* Another's sweep may have taken the empty directory already. */
    r = io_unlinkat(root->fd, wanted->key, AT_REMOVEDIR);
    return r == 0 || r == -ENOENT || r == -ENOTEMPTY || r == -EEXIST ? 1 : r;
}

int copies_remove(const struct store *store, const char *key, const char *id)
{
    struct wanted wanted = {.key = key, .id = id};
    int r = root_each(store, remove_from_root, &wanted);
    root_leave_memory(store);
    return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int copies_sweep_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context, .sweeps = true};
    int r = root_each(store, visit_root, &visiting);
    if (visiting.removed)
        root_leave_memory(store);
    return r;
}

int copies_sweep(const struct store *store)
{
    return copies_sweep_each(store, NULL, NULL);
}
