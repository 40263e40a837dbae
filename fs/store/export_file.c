#include "fs/store/export_file.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/sqlite_header.h"

enum { CHUNK_BYTES = 256 << 10 };

static const unsigned char wal_bytes[SQLITE_VERSIONS_SIZE] = {SQLITE_VERSION_WAL,
                                                              SQLITE_VERSION_WAL};
static const char *const side_suffixes[] = {SQLITE_JOURNAL_SUFFIX, SQLITE_WAL_SUFFIX,
                                            SQLITE_SHM_SUFFIX};

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return !strncmp(path, directory, length) && (path[length] == '/' || path[length] == '\0');
}

/* Only publishing writes into the store; but a builder, which may start from another template, may
 * write into its own directory. */
static bool is_in_store(const struct store *store, const char *path)
{
    const char *own = getenv("MINTFS_DIR");
    AUTO_FREE char *copy = strdup(path);
    AUTO_FREE char *building = text_format("%s/v1/building", store->path);
    if (!building)
        return true;
    bool is_builder = own && is_below(own, building) && strcmp(own, building) != 0;
    /* Missing directories will be created in the nearest one that exists. */
    for (char *at = copy ? dirname(copy) : NULL; at; at = dirname(at)) {
        AUTO_FREE char *real = realpath(at, NULL);
        if (real)
            return is_below(real, store->path) && !(is_builder && is_below(real, own));
        if (!strcmp(at, "/") || !strcmp(at, "."))
            break;
    }
    return false;
}

int export_check(const struct store *store, const char *path)
{
    struct stat status;
    size_t length = strlen(path);
    if (length == 0)
        return log_fail(EINVAL, "--to: the path is empty");
    bool exists = stat(path, &status) == 0;
    if (path[length - 1] == '/' || (exists && S_ISDIR(status.st_mode)))
        return log_fail(EISDIR, "--to %s: is a directory; name the file", path);
    /* A link to a file is replaced; a link to a device is refused as the device is. */
    if (exists && !S_ISREG(status.st_mode))
        return log_fail(EINVAL, "--to %s: exists and is not a regular file; name a file", path);
    if (is_in_store(store, path))
        return log_fail(EINVAL, "--to %s: is in the store; name a path outside of it", path);
    return 0;
}

/* Whether the file already has exactly the content that the copy would have. */
static bool has_content(int fd, int template_fd, const struct manifest_entry *entry)
{
    struct stat status;
    AUTO_FREE char *buffer = malloc(2 * CHUNK_BYTES);
    if (!buffer || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        !(status.st_mode & S_IWUSR) || (uint64_t)status.st_size != entry->size_bytes)
        return false;
    for (off_t offset = 0; offset < status.st_size; offset += CHUNK_BYTES) {
        ssize_t n = io_pread(template_fd, buffer, CHUNK_BYTES, offset);
        if (n <= 0 || io_pread(fd, buffer + CHUNK_BYTES, CHUNK_BYTES, offset) != n)
            return false;
        if (offset == 0 && entry->starts_in_wal)
            memcpy(buffer + SQLITE_VERSIONS_OFFSET, wal_bytes, SQLITE_VERSIONS_SIZE);
        if (memcmp(buffer, buffer + CHUNK_BYTES, (size_t)n) != 0)
            return false;
    }
    return true;
}

/* The name of a database's side file; false if it would be too long to be one. */
static bool side_name(const char *name, size_t suffix, char ret_side[NAME_MAX + 1])
{
    return snprintf(ret_side, NAME_MAX + 1, "%s%s", name, side_suffixes[suffix]) <= NAME_MAX;
}

static int remove_side_files(int dirfd, const char *name)
{
    char side[NAME_MAX + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(side_suffixes); i++) {
        int r = side_name(name, i, side) ? io_unlinkat(dirfd, side, 0) : 0;
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

/* Renames the side files of `from` to those of `to`. */
static int move_side_files(int dirfd, const char *from, const char *to)
{
    char old[NAME_MAX + 1];
    char new[NAME_MAX + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(side_suffixes); i++) {
        if (!side_name(from, i, old) || !side_name(to, i, new))
            continue;
        int r = io_renameat(dirfd, old, dirfd, new);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static bool has_side_files(int dirfd, const char *name)
{
    char side[NAME_MAX + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(side_suffixes); i++)
        if (side_name(name, i, side) && faccessat(dirfd, side, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    return false;
}

/*
 * SQLite would take the old file's write-ahead log for the new file's, so it is renamed first. It
 * has transactions that the old file lacks, so it is renamed back if the new file cannot be placed.
 */
static int replace(int dirfd, const char *beside, const char *name)
{
    int r = move_side_files(dirfd, name, beside);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    if (r == 0)
        return remove_side_files(dirfd, beside);
    if (move_side_files(dirfd, beside, name) < 0)
        log_warning("the side files of %s are left as %s-*", name, beside);
    return r;
}

/* Fills a new file `beside` and renames it to `name`; if that fails, it is removed. */
static int copy_and_rename(int dirfd, const char *beside, const char *name, int template_fd,
                           const struct manifest_entry *entry)
{
    /* O_TMPFILE, where the file system has it, leaves nothing if this process is killed. */
    AUTO_FD int fd = io_openat(dirfd, ".", O_RDWR | O_TMPFILE, 0666);
    bool nameless = fd >= 0;
    if (!nameless)
        fd = io_openat(dirfd, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fd;
    int r = io_copy_file(template_fd, fd);
    if (r == 0 && entry->starts_in_wal)
        r = io_pwrite(fd, wal_bytes, SQLITE_VERSIONS_SIZE, SQLITE_VERSIONS_OFFSET);
    if (r == 0)
        r = io_fsync(fd);
    if (r == 0 && nameless)
        r = io_link_fd(fd, dirfd, beside);
    if (r == 0)
        r = replace(dirfd, beside, name);
    if (r < 0 && unlinkat(dirfd, beside, 0) < 0)
        return r;
    return r == 0 ? io_fsync(dirfd) : r;
}

static int place_in(int dirfd, const char *name, int template_fd,
                    const struct manifest_entry *entry)
{
    AUTO_FD int old = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (old >= 0 && !has_side_files(dirfd, name) && has_content(old, template_fd, entry))
        return 0;
    AUTO_FREE char *beside = NULL;
    int r = dir_name_beside(name, "mintfs-", &beside);
    return r < 0 ? r : copy_and_rename(dirfd, beside, name, template_fd, entry);
}

int export_file(const struct template *template, const char *path)
{
    const char *file = template->manifest->file;
    const struct manifest_entry *entry = manifest_find(template->manifest, file);
    if (!entry || entry->type != ENTRY_FILE)
        return log_fail(ENODATA,
                        "--to %s: the template has no file %s; name its database with "
                        "--file",
                        path, file);
    AUTO_FD int template_fd = template_open_file(template, file);
    if (template_fd < 0)
        return log_errno(template_fd, "template %s: %s", template->key, file);
    AUTO_FREE char *for_directory = strdup(path);
    AUTO_FREE char *for_name = strdup(path);
    if (!for_directory || !for_name)
        return log_errno(ENOMEM, "--to %s", path);
    const char *directory = dirname(for_directory);
    int r = dir_make_parents(directory, 0777);
    AUTO_FD int dirfd = r < 0 ? r : io_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
    if (dirfd < 0)
        return log_errno(dirfd, "--to %s: %s", path, directory);
    r = place_in(dirfd, basename(for_name), template_fd, entry);
    return r < 0 ? log_errno(r, "--to %s", path) : 0;
}
