#include "fs/client/clean.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/strlist.h"
#include "fs/client/clean_store.h"
#include "fs/client/copies_list.h"
#include "fs/client/daemon_control.h"
#include "fs/client/kept_databases.h"
#include "fs/client/sessions.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/serve.h"
#include "fs/overlay/scratch_registry.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/in_use.h"
#include "fs/store/lock_names.h"
#include "fs/store/names.h"
#include "fs/store/settings.h"
#include "fs/store/store_open.h"

int clean_open(struct store **ret_store)
{
    AUTO_FREE char *path = NULL;
    int r = store_path(&path);
    if (r < 0)
        return r;
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && fd != -ENOENT)
        return log_errno(fd, "%s", path);
    /* Another clean removes the marker before the directory. A build creates the directory before
     * the marker, so that one is looked for again. */
    bool is_marked = fd >= 0 && store_is_marked(fd);
    if (fd < 0 || (!is_marked && store_is_empty(fd))) {
        log_info("there is no store at %s: nothing to remove", path);
        return 0;
    }
    if (!is_marked && !store_is_marked(fd))
        return log_fail(EPERM,
                        "%s is not a store of mintfs (no file \"mintfs-store\" in it): left alone",
                        path);
    r = store_open(ret_store);
    return r < 0 ? r : 1;
}

static int check_build(int locks_fd, const char *name, unsigned char type UNUSED,
                       void *context UNUSED)
{
    char holder[64] = "";
    const char *key = lock_name_build_key(name);
    if (!key || lock_holder(locks_fd, name, holder, sizeof(holder)) != 1)
        return 0;
    return log_fail(EBUSY, "template %" PRI_KEY " is being built%s%s: wait for it, or end it", key,
                    holder[0] ? " by " : "", holder);
}

static int unmount(const struct store *store)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    int r = serve_find(store, &found);
    if (r == 0)
        r = serve_find_dead(store, &found.mount_point);
    return r <= 0 ? r : daemon_stop(store, found.mount_point);
}

static int remove_copies(const struct store *store)
{
    AUTO_SESSIONS struct session_table table = {0};
    int r = sessions_read(store, &table);
    for (size_t i = 0; r == 0 && i < table.count; i++) {
        if (table.items[i].backend == BACKEND_COPY)
            r = copies_remove(store, table.items[i].key, table.items[i].id);
        r = r == -ENOENT ? 0 : r;
    }
    return r;
}

static int remove_scratch(const char *path, size_t *foreign)
{
    char holder[64];
    struct stat status;
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return log_errno(fd, "%s", path);
    if (fstatat(fd, "mintfs-scratch", &status, AT_SYMLINK_NOFOLLOW) < 0) {
        log_warning("%s is no longer a scratch of mintfs: left alone", path);
        return 0;
    }
    if (lock_holder(fd, "lock", holder, sizeof(holder)) == 1)
        return log_fail(EBUSY, "%s is in use by another mintfs mount, process %s", path, holder);
    size_t before = *foreign;
    int r = clean_scratch(fd, path, foreign);
    if (r == 0 && *foreign == before && rmdir(path) < 0)
        log_warning("%s stays: %s", path, strerror(errno));
    return r;
}

static int add_path(const char *path, void *paths)
{
    return strlist_add(paths, path);
}

/* Removes the default mount point. One that a setting names may be the user's own directory. */
static void remove_mount_point(void)
{
    struct setting_value value;
    AUTO_FREE char *path = NULL;
    bool in_tmp;
    if (settings_get(SETTING_MOUNT, &value) == 0 && !value.text &&
        mountpoint_default_path(&path, &in_tmp) == 0 && rmdir(path) < 0 && errno != ENOENT)
        log_info("%s stays: %s", path, strerror(errno));
}

/* The store is claimed: there is no build and no mount, and no process creates a session. */
static int remove_claimed(struct store *store, struct strlist *scratches, size_t *foreign)
{
    int r = remove_copies(store);
    if (r == 0)
        r = scratch_registry_each(store, add_path, scratches);
    for (size_t i = 0; r == 0 && i < scratches->count; i++)
        r = remove_scratch(scratches->items[i], foreign);
    if (r == 0)
        r = kept_databases_remove(store);
    catalog_close(store->catalog);
    return r < 0 ? r : clean_store(store, foreign);
}

int clean_all(struct store *store, size_t *ret_foreign)
{
    AUTO_STRLIST struct strlist scratches = STRLIST_INIT;
    *ret_foreign = 0;
    int r = dir_each(store->locks_fd, check_build, NULL);
    /* A daemon that ends without sessions removes its scratch from the store's list, but leaves the
     * directory: so the list is read before and after. */
    if (r == 0)
        r = scratch_registry_each(store, add_path, &scratches);
    if (r == 0)
        r = unmount(store);
    if (r == 0)
        r = in_use_claim(store->fd, store->path);
    if (r == -ESTALE) {
        log_info("another process has removed the store %s meanwhile", store->path);
        return 0;
    }
    if (r < 0)
        return r;
    progress_start("removing", 0);
    r = remove_claimed(store, &scratches, ret_foreign);
    progress_stop();
    if (r == 0)
        remove_mount_point();
    return r;
}
