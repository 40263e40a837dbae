#include "fs/store/build_leftovers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/dir.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/store/lock_names.h"

enum { USE_FRESH_SECONDS = 5 };

struct sweep {
    const struct store *store;
    const char *held_key;
};

void build_leftovers_log(const struct store *store, const char *work, int error)
{
    /* Only that user may be able to remove what another user's process left. */
    if (error == -EACCES || error == -EPERM)
        log_warning("cannot remove %s/v1/building/%s: %s; remove it with: sudo rm -rf "
                    "'%s/v1/building/%s'",
                    store->path, work, strerror(-error), store->path, work);
    else if (error == -EXDEV || error == -EBUSY) /* a directory; a file */
        log_warning("cannot remove %s/v1/building/%s: something is mounted in it; findmnt shows "
                    "what, and after its umount the next build or gc removes the rest",
                    store->path, work);
    else
        log_warning("cannot remove %s/v1/building/%s: %s; the next build or gc will", store->path,
                    work, strerror(-error));
}

static int sweep_work(int building_fd, const char *name, unsigned char type UNUSED, void *context)
{
    const struct sweep *sweep = context;
    char key[SHA256_HEX_LENGTH + 1];
    char lock_name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    (void)snprintf(key, sizeof(key), "%s", name);
    if (strlen(name) <= SHA256_HEX_LENGTH || name[SHA256_HEX_LENGTH] != '.' || !sha256_is_hex(key))
        return 0;
    AUTO_LOCK struct lock lock = LOCK_INIT;
    if (!sweep->held_key || strcmp(key, sweep->held_key) != 0) {
        lock_name_for_build(key, lock_name);
        int r = lock_take(&lock, sweep->store->locks_fd, lock_name, LOCK_EXCLUSIVE, LOCK_TRY);
        /* A builder locks before it creates the directory: without a holder it has ended. */
        if (lock_lacks_room(r))
            r = lock_holder(sweep->store->locks_fd, lock_name, holder, sizeof(holder)) == 0 ? 0 : r;
        if (r < 0)
            return 0;
    }
    int r = dir_remove_tree(building_fd, name);
    if (r < 0 && r != -ENOENT)
        build_leftovers_log(sweep->store, name, r);
    return 0;
}

/* A killed process leaves its lock's file; taking and releasing the lock removes the file. */
static int sweep_lock(int locks_fd, const char *name, unsigned char type UNUSED, void *context)
{
    const struct sweep *sweep = context;
    const char *build_key = lock_name_build_key(name);
    bool is_held = build_key && sweep->held_key && !strcmp(build_key, sweep->held_key);
    /* The lock's file of a dead daemon still names its mount point. */
    bool is_of_daemon = !strcmp(name, LOCK_NAME_MOUNT);
    if (!lock_name_is_known(name) || is_held || is_of_daemon)
        return 0;
    /* Its time tells gc that a daemon's sessions used the template just now (lock_park()). */
    struct stat status;
    if (lock_name_use_key(name) && (fstatat(locks_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                                    status.st_mtim.tv_sec + USE_FRESH_SECONDS > time(NULL)))
        return 0;
    AUTO_LOCK struct lock lock = LOCK_INIT;
    int r = lock_take(&lock, locks_fd, name, LOCK_EXCLUSIVE, LOCK_TRY);
    return r == -ENOMEM ? r : 0;
}

void build_leftovers_sweep(const struct store *store, const char *held_key)
{
    struct sweep sweep = {.store = store, .held_key = held_key};
    int r = dir_each(store->building_fd, sweep_work, &sweep);
    if (r == 0)
        r = dir_each(store->locks_fd, sweep_lock, &sweep);
    if (r < 0)
        log_warning("cannot look for leftovers in %s/v1: %s", store->path, strerror(-r));
}
