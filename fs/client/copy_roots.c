#include "fs/client/copy_roots.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/base/text.h"

static const char shared_memory[] = "/dev/shm";
static const char disk_root[] = "copies";

enum { STORE_DIGITS = 16 };

void copy_root_fini(struct copy_root *root)
{
    if (root->fd >= 0)
        (void)close(root->fd);
    free(root->path);
}

/* Opens a directory that only this user can enter, even where all users can create entries. */
static int open_private(int dirfd, const char *name, enum copy_root_missing missing)
{
    AUTO_FD int fd = missing == COPY_ROOT_CREATE
                         ? dir_ensure(dirfd, name, 0700)
                         : io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    struct stat status;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid() || (status.st_mode & 077))
        return -EPERM;
    return steal_fd(&fd);
}

/* ---- the root in the store ---- */

int copy_root_open_disk(const struct store *store, enum copy_root_missing missing,
                        struct copy_root *ret_root)
{
    ret_root->fd = open_private(store->v1_fd, disk_root, missing);
    if (ret_root->fd == -ENOENT && missing == COPY_ROOT_FAIL)
        return -ENOENT;
    if (ret_root->fd < 0)
        return log_errno(ret_root->fd, "cannot use %s/v1/%s", store->path, disk_root);
    ret_root->path = text_format("%s/v1/%s", store->path, disk_root);
    return ret_root->path ? 0 : -ENOMEM;
}

bool copy_root_was_made(const struct store *store)
{
    struct stat status;
    return fstatat(store->v1_fd, disk_root, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- the root in memory ---- */

/* The root of a store is named by the first digits of the hash of the store's path. */
static int fill_store_digits(const struct store *store, char ret_digits[SHA256_HEX_LENGTH + 1])
{
    uint8_t digest[SHA256_SIZE_BYTES];
    int r = sha256_of_bytes(store->path, strlen(store->path), digest);
    if (r < 0)
        return r;
    sha256_to_hex(digest, ret_digits);
    ret_digits[STORE_DIGITS] = '\0';
    return 0;
}

/* The parent of the roots of all stores of this user. -EOPNOTSUPP if there is none. */
static int open_user_memory(enum copy_root_missing missing, char **ret_path)
{
    AUTO_FD int memory = io_openat(AT_FDCWD, shared_memory, O_RDONLY | O_DIRECTORY, 0);
    struct statfs status;
    if (memory < 0 || fstatfs(memory, &status) < 0 || status.f_type != TMPFS_MAGIC)
        return -EOPNOTSUPP;
    AUTO_FREE char *path = text_format("%s/mintfs-copies-%u", shared_memory, (unsigned)geteuid());
    if (!path)
        return -ENOMEM;
    int fd = open_private(memory, path + sizeof(shared_memory), missing);
    if (fd < 0)
        return -EOPNOTSUPP;
    *ret_path = steal_pointer(&path);
    return fd;
}

static int open_below(int parent, const char *parent_path, const char *name,
                      enum copy_root_missing missing, struct copy_root *ret_root)
{
    AUTO_FD int fd = open_private(parent, name, missing);
    if (fd < 0)
        return -EOPNOTSUPP;
    ret_root->path = text_format("%s/%s", parent_path, name);
    if (!ret_root->path)
        return -ENOMEM;
    ret_root->fd = steal_fd(&fd);
    return 0;
}

int copy_root_open_memory(const struct store *store, enum copy_root_missing missing,
                          struct copy_root *ret_root)
{
    char digits[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *path = NULL;
    int r = fill_store_digits(store, digits);
    if (r < 0)
        return r;
    AUTO_FD int parent = open_user_memory(missing, &path);
    return parent < 0 ? parent : open_below(parent, path, digits, missing, ret_root);
}

void copy_root_leave_memory(const struct store *store)
{
    char digits[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *path = NULL;
    if (fill_store_digits(store, digits) < 0)
        return;
    AUTO_FD int parent = open_user_memory(COPY_ROOT_FAIL, &path);
    if (parent < 0 || io_unlinkat(parent, digits, AT_REMOVEDIR) < 0)
        return;
    if (rmdir(path) < 0)
        return; /* another store uses it */
}

/* ---- visiting roots ---- */

int copy_root_each(const struct store *store, copy_root_visitor *visit, void *context)
{
    AUTO_ROOT struct copy_root disk = ROOT_INIT;
    AUTO_ROOT struct copy_root memory = ROOT_INIT;
    int r = copy_root_open_disk(store, COPY_ROOT_FAIL, &disk);
    if (r < 0 && r != -ENOENT)
        return r;
    r = r == 0 ? visit(&disk, context) : 0;
    if (r == 0 && copy_root_open_memory(store, COPY_ROOT_FAIL, &memory) == 0)
        r = visit(&memory, context);
    return r;
}

struct memory_visit {
    copy_root_visitor *visit;
    void *context;
    const char *parent_path;
};

static bool is_store_digits(const char *name)
{
    return strlen(name) == STORE_DIGITS && strspn(name, "0123456789abcdef") == STORE_DIGITS;
}

static int visit_memory_root(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    const struct memory_visit *visiting = context;
    AUTO_ROOT struct copy_root root = ROOT_INIT;
    if (!is_store_digits(name))
        return 0;
    int r = open_below(dirfd, visiting->parent_path, name, COPY_ROOT_FAIL, &root);
    if (r == -EOPNOTSUPP)
        return 0;
    if (r == 0)
        r = visiting->visit(&root, visiting->context);
    if (r == 0 && io_unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
        return 0; /* it contains a copy */
    return r;
}

int copy_root_each_in_memory(copy_root_visitor *visit, void *context)
{
    AUTO_FREE char *path = NULL;
    AUTO_FD int parent = open_user_memory(COPY_ROOT_FAIL, &path);
    if (parent < 0)
        return parent == -EOPNOTSUPP ? 0 : parent;
    struct memory_visit visiting = {.visit = visit, .context = context, .parent_path = path};
    return dir_each(parent, visit_memory_root, &visiting);
}

int copy_root_find(const struct copy_root *root, const char *key, const char *id, int *ret_key_fd)
{
    struct stat status;
    AUTO_FD int fd = io_openat(root->fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    if (fstatat(fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    *ret_key_fd = steal_fd(&fd);
    return 1;
}

/* ---- the directory of a key ---- */

int copy_key_lock(int key_fd)
{
    while (flock(key_fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

void copy_key_unlock(int key_fd)
{
    (void)flock(key_fd, LOCK_UN);
}

int copy_unfinished_name(char ret_name[UNFINISHED_NAME_LENGTH + 1])
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(ret_name, UNFINISHED_NAME_LENGTH + 1, "%s%016" PRIx64, UNFINISHED_PREFIX,
                   random);
    return 0;
}
