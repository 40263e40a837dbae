#include "fs/store/verify.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/text.h"
#include "fs/store/fingerprint.h"
#include "fs/store/foreign.h"

/* In a read-only store modes cannot be changed, and need not be. */
static int repair_mode(int fd, const struct stat *status, mode_t mode)
{
    if ((status->st_mode & 07777) == mode)
        return 0;
    int r = io_fchmod(fd, mode);
    return r == -EROFS || r == -EPERM ? 0 : r;
}

static int log_difference(const char *shown_path, const char *path, const char *what)
{
    return log_fail(EBADMSG, "%s/files/%s: %s: the template is damaged", shown_path, path, what);
}

static int verify_file(int fd, const struct manifest_entry *entry, const char *shown_path,
                       const atomic_bool *stop)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "%s/files/%s", shown_path, entry->path);
    if (!S_ISREG(status.st_mode))
        return log_difference(shown_path, entry->path, "not a regular file any more");
    if ((uint64_t)status.st_size != entry->size_bytes)
        return log_difference(shown_path, entry->path, "its size differs from the manifest");
    uint8_t digest[SHA256_SIZE_BYTES];
    int r = sha256_of_fd_until(fd, stop, digest);
    if (r == -ECANCELED)
        return r;
    if (r == 0 && memcmp(digest, entry->digest, sizeof(digest)) != 0)
        return log_difference(shown_path, entry->path, "its content differs from the manifest");
    progress_add(entry->size_bytes);
    return r < 0 ? log_errno(r, "%s/files/%s", shown_path, entry->path) : 0;
}

static int verify_directory(int fd, const struct manifest_entry *entry, const char *shown_path)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "%s/files/%s", shown_path, entry->path);
    if (!S_ISDIR(status.st_mode))
        return log_difference(shown_path, entry->path, "not a directory any more");
    return 0;
}

static int verify_link(int files_fd, const struct manifest_entry *entry, const char *shown_path)
{
    AUTO_FD int fd = dir_open_beneath(files_fd, entry->path, O_PATH | O_NOFOLLOW);
    char target[PATH_MAX];
    ssize_t length = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target));
    if (length < 0 || (size_t)length != strlen(entry->target) ||
        memcmp(target, entry->target, (size_t)length) != 0)
        return log_difference(shown_path, entry->path, "its target differs from the manifest");
    return 0;
}

static int log_unreadable(int files_fd, const struct manifest_entry *entry, const char *shown_path,
                          int error)
{
    struct stat status;
    AUTO_FREE char *shown = text_format("%s/files/%s", shown_path, entry->path);
    if (!shown)
        return -ENOMEM;
    if (error == -EACCES && fstatat(files_fd, entry->path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_uid != geteuid())
        return foreign_log_path(shown, status.st_uid, shown_path);
    return log_errno(error, "%s", shown);
}

static int verify_entry(int files_fd, const struct manifest_entry *entry, const char *shown_path,
                        const atomic_bool *stop)
{
    if (entry->type == ENTRY_SYMLINK)
        return verify_link(files_fd, entry, shown_path);
    AUTO_FD int fd = dir_open_beneath(files_fd, entry->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd == -ENOENT)
        return log_difference(shown_path, entry->path, "missing");
    if (fd == -ELOOP || fd == -EXDEV || fd == -ENXIO || fd == -ENOTDIR)
        return log_difference(shown_path, entry->path, "replaced by something else");
    if (fd < 0)
        return log_unreadable(files_fd, entry, shown_path, fd);
    return entry->type == ENTRY_FILE ? verify_file(fd, entry, shown_path, stop)
                                     : verify_directory(fd, entry, shown_path);
}

/* To be called before the fingerprint is taken: changing a mode changes the time of change. */
static int repair_modes(int files_fd, const struct manifest *manifest, const char *shown_path)
{
    struct stat status;
    int r = fstat(files_fd, &status) < 0 ? -errno
                                         : repair_mode(files_fd, &status, TEMPLATE_DIRECTORY_MODE);
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        mode_t mode = entry->type == ENTRY_FILE ? 0444 : TEMPLATE_DIRECTORY_MODE;
        if (entry->type == ENTRY_SYMLINK ||
            fstatat(files_fd, entry->path, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            (status.st_mode & 07777) == mode)
            continue;
        AUTO_FD int fd =
            dir_open_beneath(files_fd, entry->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        /* If it cannot be opened, verify_entry() logs why. */
        if (fd >= 0 && fstat(fd, &status) == 0)
            r = repair_mode(fd, &status, mode);
    }
    return r < 0 ? log_errno(r, "%s/files", shown_path) : 0;
}

int verify_template(int files_fd, const struct manifest *manifest, const char *shown_path,
                    const atomic_bool *stop, int64_t *ret_fingerprint)
{
    int64_t fingerprint = FINGERPRINT_NONE;
    int r = repair_modes(files_fd, manifest, shown_path);
    /* Taken before the files are read, so that a file that changes meanwhile is compared again at
     * the next use. If it cannot be taken, verify_entry() logs why. */
    if (r == 0 && fingerprint_take(files_fd, manifest, &fingerprint) < 0)
        fingerprint = FINGERPRINT_NONE;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++)
        r = verify_entry(files_fd, &manifest->entries[i], shown_path, stop);
    if (r == 0)
        *ret_fingerprint = fingerprint;
    return r;
}
