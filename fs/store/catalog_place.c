#include "fs/store/catalog_place.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/lock_names.h"
#include "fs/store/sqlite_header.h"

enum { OWN_MODE = S_IRUSR | S_IWUSR };

struct obstacle {
    const char *name; /* static */
    mode_t mode;
};

/* SQLite opens an existing log (-wal) in any journal mode. */
static const char *const names[] = {CATALOG_FILE,
                                    CATALOG_FILE SQLITE_JOURNAL_SUFFIX,
                                    CATALOG_FILE SQLITE_WAL_SUFFIX,
                                    CATALOG_FILE SQLITE_SHM_SUFFIX,
                                    CATALOG_FILE ".new",
                                    CATALOG_FILE ".new" SQLITE_JOURNAL_SUFFIX};

static bool find_obstacle(const struct store *store, struct obstacle *ret_obstacle)
{
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct stat status;
        if (fstatat(store->v1_fd, names[i], &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            (S_ISREG(status.st_mode) && (status.st_uid != geteuid() || (status.st_mode & S_IRUSR))))
            continue;
        *ret_obstacle = (struct obstacle){.name = names[i], .mode = status.st_mode};
        return true;
    }
    return false;
}

static const char *type_name(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISLNK(mode)  ? "a symbolic link"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static int put_aside(const struct store *store, const struct obstacle *obstacle)
{
    enum { NUMBER_MAX = 1000 };
    char aside[64];
    int r = -EEXIST;
    (void)snprintf(aside, sizeof(aside), "%s.aside", obstacle->name);
    for (int i = 2; r == -EEXIST && i < NUMBER_MAX; i++) {
        r = io_renameat_new(store->v1_fd, obstacle->name, store->v1_fd, aside);
        if (r == -EEXIST)
            (void)snprintf(aside, sizeof(aside), "%s.aside-%d", obstacle->name, i);
    }
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return log_fail(r,
                        "catalog %s/v1/%s is %s, not a file, and cannot be renamed: %s; move it "
                        "away, and the catalog is rebuilt",
                        store->path, obstacle->name, type_name(obstacle->mode), strerror(-r));
    log_warning("catalog %s/v1/%s is %s, not a file: it is now %s", store->path, obstacle->name,
                type_name(obstacle->mode), aside);
    return 0;
}

static int allow_owner(const struct store *store, const struct obstacle *obstacle)
{
    if (fchmodat(store->v1_fd, obstacle->name, OWN_MODE, 0) < 0 && errno != ENOENT)
        return log_fail(errno,
                        "catalog %s/v1/%s has the mode %04o, which cannot be changed: %s; try: "
                        "chmod 600 '%s/v1/%s'",
                        store->path, obstacle->name, obstacle->mode & 07777, strerror(errno),
                        store->path, obstacle->name);
    log_warning("catalog %s/v1/%s had the mode %04o: it is now %04o", store->path, obstacle->name,
                obstacle->mode & 07777, OWN_MODE);
    return 0;
}

int catalog_place_prepare(const struct store *store)
{
    AUTO_LOCK struct lock lock = LOCK_INIT;
    struct obstacle obstacle;
    if (!find_obstacle(store, &obstacle))
        return 0;
    /* After another process has done the same, the name may be that of a new catalog. */
    int r;
    do
        r = lock_take(&lock, store->locks_fd, LOCK_NAME_CATALOG, LOCK_EXCLUSIVE, LOCK_WAIT);
    while (r == -EINTR);
    if (r < 0)
        return log_errno(r, "cannot lock the catalog %s/v1/%s", store->path, CATALOG_FILE);
    while (r == 0 && find_obstacle(store, &obstacle))
        r = S_ISREG(obstacle.mode) ? allow_owner(store, &obstacle) : put_aside(store, &obstacle);
    return r;
}

int catalog_place_describe(const struct store *store, char **ret_text)
{
    struct obstacle obstacle;
    if (!find_obstacle(store, &obstacle))
        return 0;
    char *text = S_ISREG(obstacle.mode)
                     ? text_format("catalog %s/v1/%s has the mode %04o", store->path, obstacle.name,
                                   obstacle.mode & 07777)
                     : text_format("catalog %s/v1/%s is %s, not a file", store->path, obstacle.name,
                                   type_name(obstacle.mode));
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    return 1;
}
