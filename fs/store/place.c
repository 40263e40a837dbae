#include "fs/store/place.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"

enum { MODE_OFFSET = 18, MODE_BYTES = 2, CHUNK_BYTES = 256 << 10 };

static const unsigned char wal_bytes[MODE_BYTES] = {2, 2};
static const char *const side_suffixes[] = {"-journal", "-wal", "-shm"};

/* Only publishing writes into the store. */
static bool lies_in_store(const struct store *store, const char *path)
{
    AUTO_FREE char *copy = strdup(path);
    size_t length = strlen(store->path);
    /* Directories that are missing still will be made: the first that is there tells. */
    for (char *at = copy ? dirname(copy) : NULL; at; at = dirname(at)) {
        AUTO_FREE char *real = realpath(at, NULL);
        if (real)
            return !strncmp(real, store->path, length) &&
                   (real[length] == '/' || real[length] == '\0');
        if (!strcmp(at, "/") || !strcmp(at, "."))
            break;
    }
    return false;
}

int place_check(const struct store *store, const char *path)
{
    struct stat status;
    size_t length = strlen(path);
    if (length == 0)
        return log_fail(EINVAL, "--to: the path is empty");
    if (path[length - 1] == '/' || (stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        return log_fail(EISDIR, "--to %s: is a directory; name the file", path);
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode))
        return log_fail(EINVAL, "--to %s: is there, and no file; name a file", path);
    if (lies_in_store(store, path))
        return log_fail(EINVAL, "--to %s: lies in the store; name a place outside of it", path);
    return 0;
}

/* Whether the file at hand has just the bytes that placing would give it. */
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
            memcpy(buffer + MODE_OFFSET, wal_bytes, MODE_BYTES);
        if (memcmp(buffer, buffer + CHUNK_BYTES, (size_t)n) != 0)
            return false;
    }
    return true;
}

static int remove_side_files(int dirfd, const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(side_suffixes); i++) {
        AUTO_FREE char *side = NULL;
        if (asprintf(&side, "%s%s", name, side_suffixes[i]) < 0) {
            side = NULL;
            return -ENOMEM;
        }
        int r = io_unlinkat(dirfd, side, 0);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static bool has_side_files(int dirfd, const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(side_suffixes); i++) {
        AUTO_FREE char *side = NULL;
        if (asprintf(&side, "%s%s", name, side_suffixes[i]) < 0) {
            side = NULL;
            return true;
        }
        if (faccessat(dirfd, side, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

/* Fills a new file `beside` and renames it to `name`; nothing of it stays where that fails. */
static int copy_and_rename(int dirfd, const char *beside, const char *name, int template_fd,
                           const struct manifest_entry *entry)
{
    /* Without a name until it is whole, where the file system can: a kill then leaves nothing. */
    AUTO_FD int fd = io_openat(dirfd, ".", O_RDWR | O_TMPFILE, 0666);
    bool nameless = fd >= 0;
    if (!nameless)
        fd = io_openat(dirfd, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fd;
    int r = io_copy_file(template_fd, fd);
    if (r == 0 && entry->starts_in_wal)
        r = io_pwrite(fd, wal_bytes, MODE_BYTES, MODE_OFFSET);
    if (r == 0)
        r = io_fsync(fd);
    if (r == 0 && nameless)
        r = io_link_fd(fd, dirfd, beside);
    if (r == 0)
        r = remove_side_files(dirfd, name);
    if (r == 0)
        r = io_renameat(dirfd, beside, dirfd, name);
    if (r < 0 && unlinkat(dirfd, beside, 0) < 0)
        return r;
    return r == 0 ? io_fsync(dirfd) : r;
}

static int place_in(int dirfd, const char *name, int template_fd,
                    const struct manifest_entry *entry)
{
    AUTO_FD int there = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (there >= 0 && !has_side_files(dirfd, name) && has_content(there, template_fd, entry))
        return 0;
    AUTO_FREE char *beside = NULL;
    if (asprintf(&beside, ".%.200s.mintfs-%d.tmp", name, getpid()) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    int r = io_unlinkat(dirfd, beside, 0);
    return r < 0 && r != -ENOENT ? r : copy_and_rename(dirfd, beside, name, template_fd, entry);
}

int place_file(const struct template *template, const char *path)
{
    const char *file = template->manifest->file;
    const struct manifest_entry *entry = manifest_find(template->manifest, file);
    if (!entry || entry->type != ENTRY_FILE)
        return log_fail(ENODATA,
                        "--to %s: the template holds no file %s; --file says which one is "
                        "meant",
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
