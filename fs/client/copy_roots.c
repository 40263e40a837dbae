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
#include "fs/client/copies.h"

static const char shared_memory[] = "/dev/shm";
static const char disk_root[] = "copies";

enum { STORE_DIGITS = 16 };

void copy_root_fini(struct copy_root *root)
{
    if (root->fd >= 0)
        (void)close(root->fd);
    free(root->path);
}

/* A directory of ours alone, whatever others put into a place that all can write to. */
static int open_private(int dirfd, const char *name, bool make)
{
    AUTO_FD int fd = make ? dir_ensure(dirfd, name, 0700)
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

int copy_root_open_disk(const struct store *store, bool make, struct copy_root *ret_root)
{
    ret_root->fd = open_private(store->v1_fd, disk_root, make);
    if (ret_root->fd == -ENOENT && !make)
        return -ENOENT;
    if (ret_root->fd < 0)
        return log_errno(ret_root->fd, "cannot use %s/v1/%s", store->path, disk_root);
    if (asprintf(&ret_root->path, "%s/v1/%s", store->path, disk_root) < 0) {
        ret_root->path = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int store_digits(const struct store *store, char ret_digits[SHA256_HEX_LENGTH + 1])
{
    uint8_t digest[SHA256_SIZE_BYTES];
    int r = sha256_of_bytes(store->path, strlen(store->path), digest);
    if (r < 0)
        return r;
    sha256_to_hex(digest, ret_digits);
    ret_digits[STORE_DIGITS] = '\0';
    return 0;
}

/* The directory in memory for all stores of this user. -EOPNOTSUPP where there is none. */
static int open_user_memory(bool make, char **ret_path)
{
    AUTO_FREE char *path = NULL;
    AUTO_FD int memory = io_openat(AT_FDCWD, shared_memory, O_RDONLY | O_DIRECTORY, 0);
    struct statfs status;
    if (memory < 0 || fstatfs(memory, &status) < 0 || status.f_type != TMPFS_MAGIC)
        return -EOPNOTSUPP;
    if (asprintf(&path, "%s/mintfs-copies-%u", shared_memory, (unsigned)geteuid()) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    int fd = open_private(memory, path + sizeof(shared_memory), make);
    if (fd < 0)
        return -EOPNOTSUPP;
    *ret_path = steal_pointer(&path);
    return fd;
}

static int open_below(int parent, const char *parent_path, const char *name, bool make,
                      struct copy_root *ret_root)
{
    AUTO_FD int fd = open_private(parent, name, make);
    if (fd < 0)
        return -EOPNOTSUPP;
    if (asprintf(&ret_root->path, "%s/%s", parent_path, name) < 0) {
        ret_root->path = NULL;
        return -ENOMEM;
    }
    ret_root->fd = steal_fd(&fd);
    return 0;
}

int copy_root_open_memory(const struct store *store, bool make, struct copy_root *ret_root)
{
    char digits[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *path = NULL;
    int r = store_digits(store, digits);
    if (r < 0)
        return r;
    AUTO_FD int parent = open_user_memory(make, &path);
    return parent < 0 ? parent : open_below(parent, path, digits, make, ret_root);
}

int copy_root_each(const struct store *store, copy_root_visitor *visit, void *context)
{
    AUTO_ROOT struct copy_root disk = ROOT_INIT;
    AUTO_ROOT struct copy_root memory = ROOT_INIT;
    int r = copy_root_open_disk(store, false, &disk);
    if (r < 0 && r != -ENOENT)
        return r;
    r = r == 0 ? visit(&disk, context) : 0;
    if (r == 0 && copy_root_open_memory(store, false, &memory) == 0)
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
    int r = open_below(dirfd, visiting->parent_path, name, false, &root);
    if (r == -EOPNOTSUPP)
        return 0;
    if (r == 0)
        r = visiting->visit(&root, visiting->context);
    if (r == 0 && io_unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
        return 0; /* it holds a copy */
    return r;
}

int copy_root_each_in_memory(copy_root_visitor *visit, void *context)
{
    AUTO_FREE char *path = NULL;
    AUTO_FD int parent = open_user_memory(false, &path);
    if (parent < 0)
        return parent == -EOPNOTSUPP ? 0 : parent;
    struct memory_visit visiting = {.visit = visit, .context = context, .parent_path = path};
    return dir_each(parent, visit_memory_root, &visiting);
}

void copy_root_leave_memory(const struct store *store)
{
    char digits[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *path = NULL;
    if (store_digits(store, digits) < 0)
        return;
    AUTO_FD int parent = open_user_memory(false, &path);
    if (parent < 0 || io_unlinkat(parent, digits, AT_REMOVEDIR) < 0)
        return;
    if (rmdir(path) < 0)
        return; /* of use to another store */
}

/* ---- names of copies ---- */

int copies_lock_key(int key_fd)
{
    while (flock(key_fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

void copies_unlock_key(int key_fd)
{
    (void)flock(key_fd, LOCK_UN);
}

int copies_fill_unfinished(char name[UNFINISHED_NAME_LENGTH + 1])
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(name, UNFINISHED_NAME_LENGTH + 1, "%s%016" PRIx64, UNFINISHED_PREFIX, random);
    return 0;
}

/* ---- finding a copy ---- */

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

struct wanted {
    const char *key;
    const char *id;
    int key_fd;
};

static int find_wanted(const struct copy_root *root, void *context)
{
    struct wanted *wanted = context;
    return copy_root_find(root, wanted->key, wanted->id, &wanted->key_fd);
}

int copies_open_place(const struct store *store, const char *key, const char *id)
{
    struct wanted wanted = {.key = key, .id = id, .key_fd = -1};
    int r = copy_root_each(store, find_wanted, &wanted);
    return r < 0 ? r : r == 0 ? -ENOENT : wanted.key_fd;
}

/* The directory on disk stays, whichever root is chosen: it tells the first from the rest. */
bool copies_were_made(const struct store *store)
{
    struct stat status;
    return fstatat(store->v1_fd, disk_root, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int copies_have(const struct store *store, const char *key, const char *id)
{
    int key_fd = copies_open_place(store, key, id);
    if (key_fd < 0)
        return key_fd == -ENOENT ? 0 : key_fd;
    (void)close(key_fd);
    return 1;
}
