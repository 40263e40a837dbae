#include "fs/store/pin.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/store/catalog.h"
#include "fs/store/lock_names.h"

static const char directory[] = "pins";

bool pin_exists(const struct store *store, const char *key)
{
    char path[sizeof(directory) + 1 + SHA256_HEX_LENGTH];
    struct stat status;
    (void)snprintf(path, sizeof(path), "%s/%.64s", directory, key);
    return fstatat(store->v1_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static int set_file(const struct store *store, const char *key, bool pinned)
{
    AUTO_FD int fd = dir_ensure(store->v1_fd, directory, 0700);
    if (fd < 0)
        return fd;
    if (!pinned) {
        int r = io_unlinkat(fd, key, 0);
        return r == -ENOENT ? 0 : r;
    }
    AUTO_FD int file = io_openat(fd, key, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
    return file < 0 ? file : io_fsync(fd);
}

int pin_lock(const struct store *store, struct lock *lock)
{
    int r = lock_take(lock, store->locks_fd, LOCK_NAME_PINS, LOCK_EXCLUSIVE, LOCK_WAIT);
    /* Where there is no room for the lock, there is none for another pin either. */
    if (lock_lacks_room(r))
        return 0;
    return r < 0 ? log_errno(r, "cannot write to %s/v1/locks", store->path) : 0;
}

int pin_set(const struct store *store, const char *key, bool pinned)
{
    /* The file and the catalog's column change together. */
    AUTO_LOCK struct lock lock = LOCK_INIT;
    int locked = pin_lock(store, &lock);
    if (locked < 0)
        return locked;
    bool was_pinned = pin_exists(store, key);
    int r = set_file(store, key, pinned);
    if (r < 0)
        return store_log_error(store->path, r, "v1/pins");
    r = catalog_pin(store->catalog, key, pinned);
    /* What was refused has not happened; and what is no template has no pin, whoever wishes it. */
    bool stays = was_pinned && r != -ENOENT;
    if (r < 0 && stays != pinned && set_file(store, key, stays) < 0)
        log_warning("%s/v1/pins/%.12s... could not be set back", store->path, key);
    return r;
}
