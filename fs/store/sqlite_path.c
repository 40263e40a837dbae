#include "fs/store/sqlite_path.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/text.h"
#include "fs/store/sqlite_header.h"

enum {
    SUFFIX_BYTES = sizeof(SQLITE_JOURNAL_SUFFIX) - 1,
    PATH_MAX_OF_SQLITE = 512,
    /* SQLite's internal SQLITE_OK_SYMLINK, which SQLITE_OPEN_NOFOLLOW refuses. */
    OK_SYMLINK = SQLITE_OK | 2 << 8,
};

void sqlite_path_fini(struct sqlite_path *path)
{
    auto_close_fd(&path->fd);
    free(path->text);
}

/* Uses a descriptor of the file's directory. */
static int find_through_proc(int dirfd, const char *below, struct sqlite_path *path)
{
    const char *slash = strrchr(below, '/');
    if (slash) {
        AUTO_FREE char *parent = strndup(below, (size_t)(slash - below));
        path->fd = parent ? dir_open_beneath(dirfd, parent, O_RDONLY | O_DIRECTORY) : -ENOMEM;
        if (path->fd < 0)
            return path->fd;
    }
    char directory[32];
    (void)snprintf(directory, sizeof(directory), "/proc/self/fd/%d", slash ? path->fd : dirfd);
    if (faccessat(AT_FDCWD, directory, F_OK, 0) < 0)
        return -ENAMETOOLONG;
    path->text = text_format("%s/%s", directory, slash ? slash + 1 : below);
    return path->text ? 0 : -ENOMEM;
}

int sqlite_path_find(int dirfd, const char *dir_path, const char *below,
                     struct sqlite_path *ret_path)
{
    AUTO_SQLITE_PATH struct sqlite_path path = SQLITE_PATH_INIT;
    int r = 0;
    if (strlen(dir_path) + 1 + strlen(below) + SUFFIX_BYTES > PATH_MAX_OF_SQLITE) {
        r = find_through_proc(dirfd, below, &path);
    } else {
        path.text = text_format("%s/%s", dir_path, below);
        r = path.text ? 0 : -ENOMEM;
    }
    if (r < 0)
        return r;
    *ret_path = path;
    path = SQLITE_PATH_INIT;
    return 0;
}

/* ---- the VFS ---- */

static sqlite3_vfs vfs;
static bool is_registered;

/* Does not resolve an absolute path; reports whether the file itself is a symbolic link. */
static int full_pathname(sqlite3_vfs *self UNUSED, const char *path, int size, char *text)
{
    struct stat status;
    if (path[0] != '/') {
        sqlite3_vfs *original = sqlite3_vfs_find(NULL);
        return original->xFullPathname(original, path, size, text);
    }
    size_t length = strlen(path);
    text[0] = '\0';
    if (length >= (size_t)size)
        return SQLITE_CANTOPEN;
    memcpy(text, path, length + 1);
    bool is_link =
        fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
    return is_link ? OK_SYMLINK : SQLITE_OK;
}

static void register_vfs(void)
{
    if (sqlite3_initialize() != SQLITE_OK)
        return;
    const sqlite3_vfs *original = sqlite3_vfs_find(NULL);
    if (!original)
        return;
    vfs = *original;
    vfs.pNext = NULL;
    vfs.zName = "mintfs-path";
    vfs.xFullPathname = full_pathname;
    is_registered = sqlite3_vfs_register(&vfs, 0) == SQLITE_OK;
}

const char *sqlite_path_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_vfs);
    return is_registered ? vfs.zName : NULL;
}
