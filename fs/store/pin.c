#include "fs/store/pin.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/store/lock_names.h"

static const char directory[] = "pins";

bool pin_exists(const struct store *store, const char *key)
{
    char path[sizeof(directory) + 1 + SHA256_HEX_LENGTH];
    struct stat status;
    (void)snprintf(path, sizeof(path), "%s/%.64s", directory, key);
    return fstatat(store->v1_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int pin_create(const struct store *store, const char *key)
{
    AUTO_FD int fd = dir_ensure(store->v1_fd, directory, 0700);
    if (fd < 0)
        return fd;
    AUTO_FD int file = io_openat(fd, key, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
    return file < 0 ? file : io_fsync(fd);
}

int pin_remove(const struct store *store, const char *key)
{
    AUTO_FD int fd = dir_ensure(store->v1_fd, directory, 0700);
    int r = fd < 0 ? fd : io_unlinkat(fd, key, 0);
    return r == -ENOENT ? 0 : r;
}

int pin_lock(const struct store *store, struct lock *lock)
{
    int r = lock_take(lock, store->locks_fd, LOCK_NAME_PINS, LOCK_EXCLUSIVE, LOCK_WAIT);
    /* Where the disk has no room for the lock, it has none for another pin either. */
    if (lock_lacks_room(r))
        return 0;
    return r < 0 ? log_errno(r, "cannot write to %s/v1/locks", store->path) : 0;
}
