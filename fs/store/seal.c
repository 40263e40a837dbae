/*
 * Three passes over the tree, each by descriptor: scan it (types, hard links, writers); seal the
 * databases, which creates and removes side files; then digest, set the modes, and sync.
 *
 * From the end of the first pass on no process of the builder may write: the second pass would
 * check other bytes than the third digests.
 */
#include "fs/store/seal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sync.h"
#include "fs/store/seal_databases.h"
#include "fs/store/seal_scan.h"

static void seal_fini(struct seal *seal)
{
    seal_clear(seal);
    vector_fini(&seal->entries);
    strlist_fini(&seal->warnings);
}

/* Removes the entries of side files that SQLite or seal_databases() removed. */
static void drop_missing(struct seal *seal)
{
    size_t kept = 0;
    for (size_t i = 0; i < seal->entries.count; i++) {
        struct stat status;
        if (fstatat(seal->files_fd, seal->entries.items[i].path, &status, AT_SYMLINK_NOFOLLOW) ==
            0) {
            seal->entries.items[kept++] = seal->entries.items[i];
        } else {
            free(seal->entries.items[i].path);
            free(seal->entries.items[i].target);
        }
    }
    seal->entries.count = kept;
}

struct finished_directory {
    const struct seal *seal;
    const char *path; /* "": the tree */
};

/* A file that the first pass did not see has not been checked. */
static int check_known(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    const struct finished_directory *directory = context;
    const struct seal *seal = directory->seal;
    AUTO_FREE char *path = seal_path_in(directory->path, name);
    if (!path)
        return -ENOMEM;
    const struct manifest_entry wanted = {.path = path};
    if (bsearch(&wanted, seal->entries.items, seal->entries.count, sizeof(wanted),
                seal_compare_entries))
        return 0;
    return seal_log_left(EBUSY, path,
                         "it appeared while the template was sealed: a process of the builder "
                         "still runs");
}

static int finish_file(const struct seal *seal, struct manifest_entry *entry)
{
    AUTO_FD int fd = seal_open_entry(seal, entry->path);
    if (fd < 0)
        return log_errno(fd, "sealing %s", entry->path);
    struct stat status = {0};
    int r = sha256_of_fd(fd, entry->digest);
    if (r == 0)
        r = io_fchmod(fd, 0444);
    if (r == 0 && fstat(fd, &status) < 0)
        r = -errno;
    io_start_writeback(fd);
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    if (seal_has_writer(fd))
        return seal_log_left(EBUSY, entry->path,
                             "a process opened it for writing while the template was sealed; the "
                             "builder must end every process that it starts");
    entry->size_bytes = (uint64_t)status.st_size;
    return 0;
}

static int finish_directory(struct seal *seal, const char *path)
{
    struct finished_directory directory = {.seal = seal, .path = path};
    AUTO_FD int fd =
        io_openat(seal->files_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int r = fd < 0 ? fd : io_fchmod(fd, TEMPLATE_DIRECTORY_MODE);
    if (r < 0)
        return log_errno(r, "sealing %s", path[0] ? path : seal->path);
    return dir_each(fd, check_known, &directory);
}

/* In reverse order, so that a directory's files are finished before it. */
static int finish_entries(struct seal *seal)
{
    for (size_t i = seal->entries.count; i-- > 0;) {
        struct manifest_entry *entry = &seal->entries.items[i];
        int r = 0;
        if (interrupt_pending())
            return -EINTR;
        if (entry->type == ENTRY_FILE)
            r = finish_file(seal, entry);
        else if (entry->type == ENTRY_DIRECTORY)
            r = finish_directory(seal, entry->path);
        if (r < 0)
            return r;
    }
    return finish_directory(seal, "");
}

static int sync_entries(const struct seal *seal)
{
    AUTO_FREE const char **paths = calloc(seal->entries.count + 1, sizeof(*paths));
    size_t count = 0;
    size_t failed = 0;
    if (!paths)
        return -ENOMEM;
    for (size_t i = 0; i < seal->entries.count; i++)
        if (seal->entries.items[i].type != ENTRY_SYMLINK)
            paths[count++] = seal->entries.items[i].path;
    int r = sync_paths(seal->files_fd, paths, count, &failed);
    if (r < 0)
        return log_errno(r, "sealing %s", paths[failed]);
    r = io_fsync(seal->files_fd);
    return r < 0 ? log_errno(r, "sealing %s", seal->path) : 0;
}

int seal_tree(int files_fd, const char *path, const char *file, struct manifest *manifest)
{
    enum { WAIT_MS = 2000 };
    CLEANUP(seal_fini)
    struct seal seal = {.files_fd = files_fd, .path = path, .file = file, .wait_ms = WAIT_MS};
    int r = seal_scan(&seal);
    if (r == 0) {
        r = seal_databases(&seal);
        drop_missing(&seal);
    }
    if (r == 0)
        r = finish_entries(&seal);
    if (r == 0)
        r = sync_entries(&seal);
    if (r == -ENOMEM)
        return log_errno(r, "sealing %s", path);
    if (r < 0)
        return r;
    manifest->entries = seal.entries.items;
    manifest->entry_count = seal.entries.count;
    manifest->warnings = seal.warnings.items;
    seal.entries.items = NULL;
    seal.entries.count = 0;
    seal.warnings = (struct strlist)STRLIST_INIT;
    return 0;
}
