#include "fs/store/store_open.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fs/base/dir.h"
#include "fs/base/home.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/base/text.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/in_use.h"
#include "fs/store/settings.h"

static const char marker_name[] = "mintfs-store";
static const char marker_text[] =
    "This directory is a store of mintfs: templates of test databases, and what belongs to them.\n"
    "It is a cache. `mintfs clean` removes it; builds can make it again.\n";
static const char tag_name[] = "CACHEDIR.TAG";
static const char tag_text[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by mintfs.\n"
    "# For information about cache directory tags, see https://bford.info/cachedir/\n";

/* Our locks and SQLite's need a file system whose locks this kernel keeps. */
static const struct {
    unsigned type;
    const char *name;
} network_file_systems[] = {
    {NFS_SUPER_MAGIC, "NFS"},  {SMB_SUPER_MAGIC, "SMB"},   {CIFS_SUPER_MAGIC, "CIFS"},
    {SMB2_SUPER_MAGIC, "SMB"}, {V9FS_MAGIC, "9p"},         {AFS_SUPER_MAGIC, "AFS"},
    {AFS_FS_MAGIC, "AFS"},     {CODA_SUPER_MAGIC, "Coda"}, {CEPH_SUPER_MAGIC, "Ceph"},
    {NCP_SUPER_MAGIC, "NCP"},  {0x0BD00BD0, "Lustre"},
};

int store_path(char **ret_path)
{
    char *path = NULL;
    struct setting_value setting;
    int r = settings_get(SETTING_STORE, &setting);
    if (r < 0)
        return r;
    const char *asked = setting.text;
    const char *cache = getenv("XDG_CACHE_HOME");
    if (asked && asked[0] == '/') {
        path = strdup(asked);
    } else if (asked && asked[0]) {
        AUTO_FREE char *here = getcwd(NULL, 0);
        if (!here)
            return log_errno(errno, "the store %s is relative to a directory that is gone", asked);
        path = text_format("%s/%s", here, asked);
    } else if (cache && cache[0] == '/') {
        /* XDG: a relative path is ignored. */
        path = text_format("%s/mintfs", cache);
    } else {
        AUTO_FREE char *home = home_directory();
        if (!home)
            return log_fail(ENOENT, "no place for the store: neither HOME nor the user database "
                                    "gives a directory; set MINTFS_STORE");
        path = text_format("%s/.cache/mintfs", home);
    }
    if (!path)
        return log_errno(ENOMEM, "store");
    *ret_path = path;
    return 0;
}

/* Refuses a directory of the store that another user owns or may write. */
static int check_owner(int fd, const char *path, const char *name)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return store_log_error(path, errno, name);
    const char *slash = name ? "/" : "";
    name = name ? name : "";
    if (status.st_uid != geteuid())
        return log_fail(EPERM,
                        "store %s%s%s belongs to user %u, not to you (%u): set "
                        "MINTFS_STORE to a directory of your own, or take it over with: sudo "
                        "chown -R %u:%u '%s'",
                        path, slash, name, status.st_uid, geteuid(), geteuid(), getegid(), path);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return log_fail(EPERM,
                        "store %s%s%s can be written by others (mode %04o); repair it with: "
                        "chmod go-w '%s%s%s'",
                        path, slash, name, status.st_mode & 07777, path, slash, name);
    return 0;
}

static int check_file_system(int fd, const char *path)
{
    struct statfs status;
    if (fstatfs(fd, &status) < 0)
        return store_log_error(path, errno, NULL);
    for (size_t i = 0; i < ARRAY_LENGTH(network_file_systems); i++)
        if ((unsigned)status.f_type == network_file_systems[i].type)
            return log_fail(EOPNOTSUPP,
                            "store %s is on a network file system (%s), whose locks "
                            "cannot be trusted: set MINTFS_STORE to a local directory",
                            path, network_file_systems[i].name);
    return 0;
}

static bool has_file(int dirfd, const char *name)
{
    struct stat status;
    return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

static int find_unknown_part(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                             void *context UNUSED)
{
    static const char *const parts[] = {
        "templates", "building", "locks",     "sessions",   "copies",
        "kept",      "pins",     "scratches", "catalog.db", "catalog.db-journal"};
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        if (!strcmp(name, parts[i]))
            return 0;
    return 1;
}

static int find_no_key(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                       void *context UNUSED)
{
    return strlen(name) != SHA256_HEX_LENGTH || name[strspn(name, "0123456789abcdef")];
}

/*
 * Whether v1 is the remains of a store that lost its marker: a CI cache may restore only
 * templates/KEY, and `git clean` or rm -rf may have removed the marker before they failed.
 */
static bool has_known_parts_alone(int dirfd)
{
    AUTO_FD int v1 = dir_open_beneath(dirfd, "v1", O_RDONLY | O_DIRECTORY);
    if (v1 < 0 || dir_each(v1, find_unknown_part, NULL) != 0)
        return false;
    AUTO_FD int fd = dir_open_beneath(v1, "templates", O_RDONLY | O_DIRECTORY);
    return fd == -ENOENT || (fd >= 0 && dir_each(fd, find_no_key, NULL) == 0);
}

static bool is_our_tag(int dirfd)
{
    AUTO_FREE char *text = NULL;
    return dir_read_file(dirfd, tag_name, strlen(tag_text), &text, NULL) == 0 &&
           !strcmp(text, tag_text);
}

/* Ignores what mkfs creates in a new volume. */
static int find_foreign(int dirfd, const char *name, unsigned char type UNUSED,
                        void *context UNUSED)
{
    return strcmp(name, "lost+found") != 0 && !(!strcmp(name, tag_name) && is_our_tag(dirfd)) &&
           !(!strcmp(name, "v1") && has_known_parts_alone(dirfd));
}

bool store_is_marked(int fd)
{
    return has_file(fd, marker_name) || (faccessat(fd, "v1", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
                                         dir_each(fd, find_foreign, NULL) == 0);
}

/*
 * Makes a store of a directory that is empty or holds the remains of a store. The marker is created
 * first, so that another process finds at any moment such a directory or a marked one.
 */
static int mark(int fd, const char *path)
{
    if (!has_file(fd, marker_name)) {
        int r = dir_each(fd, find_foreign, NULL);
        if (r < 0)
            return store_log_error(path, r, NULL);
        if (r > 0 && !has_file(fd, marker_name))
            return log_fail(ENOTEMPTY,
                            "%s is not a store of mintfs (no file \"%s\" in it) and not "
                            "empty: set MINTFS_STORE to another directory",
                            path, marker_name);
        AUTO_FD int marker =
            io_openat(fd, marker_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (marker < 0 && marker != -EEXIST)
            return store_log_error(path, marker, marker_name);
        r = marker < 0 ? 0 : io_pwrite(marker, marker_text, strlen(marker_text), 0);
        if (r < 0)
            return store_log_error(path, r, marker_name);
    }
    if (!has_file(fd, tag_name)) {
        int r = dir_write_file(fd, tag_name, tag_text, strlen(tag_text), 0600);
        if (r < 0 && !has_file(fd, tag_name))
            return store_log_error(path, r, tag_name);
    }
    return 0;
}

static int open_directory(const struct store *store, int dirfd, const char *name, const char *shown,
                          int *ret_fd)
{
    AUTO_FD int fd = dir_ensure(dirfd, name, 0700);
    if (fd < 0)
        return store_log_error(store->path, fd, shown);
    int r = check_owner(fd, store->path, shown);
    if (r < 0)
        return r;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int open_all(struct store *store, const char *asked)
{
    int r = dir_make_parents(asked, 0700);
    if (r < 0)
        return store_log_error(asked, r, NULL);
    int fd = store->fd = io_openat(AT_FDCWD, asked, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd == -ENOENT ? -ESTALE : store_log_error(asked, fd, NULL);
    /* Resolved once, so that changing a link in the path later does not split the store. */
    store->path = realpath(asked, NULL);
    if (!store->path)
        return errno == ENOENT ? -ESTALE : store_log_error(asked, errno, NULL);
    r = check_owner(fd, store->path, NULL);
    if (r == 0)
        r = check_file_system(fd, store->path);
    if (r == 0)
        r = in_use_share(fd, store->path);
    if (r == 0)
        r = mark(fd, store->path);
    if (r == 0)
        r = open_directory(store, fd, "v1", "v1", &store->v1_fd);
    if (r == 0)
        r = open_directory(store, store->v1_fd, "templates", "v1/templates", &store->templates_fd);
    if (r == 0)
        r = open_directory(store, store->v1_fd, "building", "v1/building", &store->building_fd);
    if (r == 0)
        r = open_directory(store, store->v1_fd, "locks", "v1/locks", &store->locks_fd);
    if (r == 0)
        r = open_directory(store, store->v1_fd, "sessions", "v1/sessions", &store->sessions_fd);
    return r;
}

static int try_open(const char *asked, struct store **ret_store)
{
    AUTO_STORE struct store *store = malloc(sizeof(*store));
    if (!store)
        return log_errno(ENOMEM, "store");
    *store = (struct store){.fd = -1,
                            .v1_fd = -1,
                            .templates_fd = -1,
                            .building_fd = -1,
                            .locks_fd = -1,
                            .sessions_fd = -1};
    int r = open_all(store, asked);
    if (r == 0)
        r = catalog_new(store, &store->catalog);
    if (r < 0)
        return r;
    *ret_store = steal_pointer(&store);
    return 0;
}

int store_open(struct store **ret_store)
{
    enum { REMOVALS_MAX = 1000 };
    AUTO_FREE char *asked = NULL;
    int r = store_path(&asked);
    /* `mintfs clean` may remove the directory while it is being opened, and again the next one. */
    for (int i = 0; r == 0 && i < REMOVALS_MAX; i++) {
        r = try_open(asked, ret_store);
        if (r != -ESTALE)
            return r;
        r = 0;
    }
    return r < 0 ? r : log_fail(ESTALE, "store %s is removed again and again", asked);
}

static int find_any(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                    void *context UNUSED)
{
    return strcmp(name, "lost+found") != 0;
}

bool store_is_empty(int fd)
{
    int r = dir_each(fd, find_any, NULL);
    return r == 0 || r == -ENOENT; /* ENOENT: the directory itself has been removed */
}

bool store_is_there(const char *path)
{
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? fd != -ENOENT : !store_is_empty(fd);
}

int store_open_existing(struct store **ret_store)
{
    AUTO_FREE char *path = NULL;
    int r = store_path(&path);
    if (r < 0)
        return r;
    if (!store_is_there(path)) {
        log_info("there is no store at %s yet; the first build creates it", path);
        return 0;
    }
    r = store_open(ret_store);
    return r < 0 ? r : 1;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    catalog_free(store->catalog);
    const int fds[] = {store->sessions_fd,  store->locks_fd, store->building_fd,
                       store->templates_fd, store->v1_fd,    store->fd};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    free(store->path);
    free(store);
}

void store_closep(struct store **store)
{
    store_close(*store);
}
