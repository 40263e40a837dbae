#include "fs/overlay/copies.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/overlay/scratch.h"
#include "fs/store/template.h"

static const char shared_memory[] = "/dev/shm";
static const char disk_root[] = "copies";

enum {
    STORE_DIGITS = 16,
    /* What a copy in memory must leave free, beside as much again as it takes. */
    ROOM_TO_LEAVE_BYTES = 64 << 20,
    /* Where SQLite's file header holds its write and read versions; see fs/overlay/file.c. */
    VERSIONS_OFFSET = 18,
};

/* A directory that holds KEY/ID. */
struct root {
    int fd;
    char *path;
};
#define ROOT_INIT                                                                                  \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

static void root_fini(struct root *root)
{
    if (root->fd >= 0)
        (void)close(root->fd);
    free(root->path);
}
#define AUTO_ROOT CLEANUP(root_fini)

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

static int open_disk_root(const struct store *store, bool make, struct root *ret_root)
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

/* -EOPNOTSUPP where there is no such place: unsaid, since there is another. */
static int open_memory_root(const struct store *store, bool make, struct root *ret_root)
{
    char digits[SHA256_HEX_LENGTH + 1];
    char user[64];
    int r = store_digits(store, digits);
    if (r < 0)
        return r;
    (void)snprintf(user, sizeof(user), "mintfs-copies-%u", (unsigned)geteuid());
    AUTO_FD int memory = io_openat(AT_FDCWD, shared_memory, O_RDONLY | O_DIRECTORY, 0);
    struct statfs status;
    if (memory < 0 || fstatfs(memory, &status) < 0 || status.f_type != TMPFS_MAGIC)
        return -EOPNOTSUPP;
    AUTO_FD int parent = open_private(memory, user, make);
    if (parent < 0)
        return -EOPNOTSUPP;
    ret_root->fd = open_private(parent, digits, make);
    if (ret_root->fd < 0)
        return -EOPNOTSUPP;
    if (asprintf(&ret_root->path, "%s/%s/%s", shared_memory, user, digits) < 0) {
        ret_root->path = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* ---- copying ---- */

static bool has_room(const struct root *root, uint64_t bytes)
{
    struct statvfs status;
    if (fstatvfs(root->fd, &status) < 0)
        return false;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    return room / 2 > bytes && room - bytes > ROOM_TO_LEAVE_BYTES;
}

/* A session begins in the journal mode that the builder left. */
static int restore_journal_mode(int fd)
{
    static const uint8_t wal[] = {2, 2};
    return io_pwrite(fd, wal, sizeof(wal), VERSIONS_OFFSET);
}

static int copy_file(const struct template *template, const struct manifest_entry *entry,
                     int to_dirfd)
{
    AUTO_FD int from = template_open_file(template, entry->path);
    if (from < 0)
        return from;
    AUTO_FD int to = io_openat(to_dirfd, entry->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (to < 0)
        return to;
    int r = io_copy_file(from, to);
    if (r == 0 && entry->starts_in_wal)
        r = restore_journal_mode(to);
    return r < 0 ? r : io_fchmod(to, (entry->mode & 0777) | S_IWUSR);
}

/* With the builder's mode, whatever the umask is. */
static int make_directory(const struct manifest_entry *entry, int to_dirfd)
{
    int r = io_mkdirat(to_dirfd, entry->path, S_IRWXU);
    if (r < 0)
        return r;
    AUTO_FD int fd = io_openat(to_dirfd, entry->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return fd < 0 ? fd : io_fchmod(fd, (entry->mode & 0777) | S_IRWXU);
}

static int copy_entry(const struct template *template, const struct manifest_entry *entry,
                      int to_dirfd)
{
    switch (entry->type) {
    case ENTRY_DIRECTORY:
        return make_directory(entry, to_dirfd);
    case ENTRY_SYMLINK:
        return io_symlinkat(entry->target, to_dirfd, entry->path);
    default:
        return copy_file(template, entry, to_dirfd);
    }
}

static const char unfinished_prefix[] = ".unfinished-";
enum { UNFINISHED_NAME_LENGTH = sizeof(unfinished_prefix) - 1 + 16 };

static int fill_unfinished_name(char name[UNFINISHED_NAME_LENGTH + 1])
{
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -errno;
    (void)snprintf(name, UNFINISHED_NAME_LENGTH + 1, "%s%016" PRIx64, unfinished_prefix, random);
    return 0;
}

static bool is_unfinished(const char *name)
{
    return strncmp(name, unfinished_prefix, strlen(unfinished_prefix)) == 0;
}

/* Removes what a killed process left of a copy. */
static void sweep_unfinished(int dirfd, const char *name)
{
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && dir_remove_tree(dirfd, name) < 0)
        log_warning("files of a copy stay behind: %s", name);
}

static int keep_mode(int key_fd, const char *id, int fd)
{
    struct stat status;
    if (fstatat(key_fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return io_fchmod(fd, status.st_mode & 07777);
}

/*
 * Copies below a directory that nobody knows yet, then gives it its name; with `reset`, that of a
 * session that is there, whose files then go.
 */
static int copy_template(const struct template *template, int key_fd, const char *id, bool reset)
{
    char beside[UNFINISHED_NAME_LENGTH + 1];
    int r = fill_unfinished_name(beside);
    AUTO_FD int fd = r < 0 ? r : dir_ensure(key_fd, beside, 0700);
    if (fd < 0)
        return fd;
    /* Held until it has its name: what nobody holds was left by a killed process. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -ENOENT : -errno;
    const struct manifest *manifest = template->manifest;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++)
        r = copy_entry(template, &manifest->entries[i], fd);
    if (r == 0 && reset)
        r = keep_mode(key_fd, id, fd);
    if (r == 0)
        r = reset ? io_renameat_exchange(key_fd, beside, key_fd, id)
                  : io_renameat_new(key_fd, beside, key_fd, id);
    if ((r < 0 || reset) && dir_remove_tree(key_fd, beside) < 0)
        log_warning("files of a copy stay behind: %s", beside);
    return r;
}

/* Would a copy in the store share its blocks with the template? Tried on its first file. */
static bool can_reflink(const struct template *template, const struct root *root)
{
    const struct manifest *manifest = template->manifest;
    AUTO_FD int to = io_openat(root->fd, ".", O_RDWR | O_TMPFILE, 0600);
    for (size_t i = 0; to >= 0 && i < manifest->entry_count; i++) {
        if (manifest->entries[i].type != ENTRY_FILE || manifest->entries[i].size_bytes == 0)
            continue;
        AUTO_FD int from = template_open_file(template, manifest->entries[i].path);
        return from >= 0 && io_reflink(from, to) == 0;
    }
    return false;
}

static int choose_root(const struct store *store, const struct template *template,
                       struct root *ret_root)
{
    AUTO_ROOT struct root disk = ROOT_INIT;
    AUTO_ROOT struct root memory = ROOT_INIT;
    int r = open_disk_root(store, true, &disk);
    if (r < 0)
        return r;
    bool use_memory = !can_reflink(template, &disk) &&
                      open_memory_root(store, true, &memory) == 0 &&
                      has_room(&memory, manifest_size_bytes(template->manifest));
    struct root *chosen = use_memory ? &memory : &disk;
    *ret_root = *chosen;
    *chosen = (struct root)ROOT_INIT;
    return 0;
}

static int copy_below(const struct store *store, const struct template *template, const char *id,
                      char **ret_path)
{
    AUTO_ROOT struct root root = ROOT_INIT;
    int r = choose_root(store, template, &root);
    if (r < 0)
        return r;
    AUTO_FD int key_fd = dir_ensure(root.fd, template->key, 0700);
    r = key_fd < 0 ? key_fd : copy_template(template, key_fd, id, false);
    if (r == -EEXIST)
        return log_fail(EEXIST, "a session %s of this template exists already; take another ID",
                        id);
    if (r == -ENOENT)
        return r;
    if (r < 0)
        return log_errno(r, "cannot make the session %s/%s/%s", root.path, template->key, id);
    return asprintf(ret_path, "%s/%s/%s", root.path, template->key, id) < 0 ? -ENOMEM : 0;
}

static int make_copy(const struct store *store, const char *key, const char *id, char **ret_path)
{
    enum { TRIES = 20 };
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return log_fail(ENOENT, "no template %s in the store %s; mintfs ls lists them", key,
                        store->path);
    if (r < 0)
        return r;
    /* Whoever removes the last copy takes empty directories away, perhaps just now. */
    r = -ENOENT;
    for (int i = 0; r == -ENOENT && i < TRIES; i++)
        r = copy_below(store, template, id, ret_path);
    return r == -ENOENT ? log_errno(r, "cannot make the session %s", id) : r;
}

/* The directory on disk stays, whichever root is chosen: it tells the first from the rest. */
bool copies_were_made(const struct store *store)
{
    struct stat status;
    return fstatat(store->v1_fd, disk_root, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int copies_new(const struct store *store, const char *key, const char *id, char **ret_path,
               bool *ret_first)
{
    if (!session_id_is_valid(id))
        return log_fail(EINVAL,
                        "\"%s\" is no session ID: 1 to %d of [A-Za-z0-9._-], no leading dot", id,
                        SESSION_ID_MAX);
    int r = copies_have(store, key, id);
    if (r < 0)
        return log_errno(r, "cannot look for a session %s", id);
    if (r > 0)
        return log_fail(EEXIST, "a session %s of this template exists already; take another ID",
                        id);
    /* Keeps eviction away while the files are read. */
    AUTO_LOCK struct lock in_use = LOCK_INIT;
    char name[SHA256_HEX_LENGTH + 16];
    (void)snprintf(name, sizeof(name), "use-%s", key);
    r = lock_take(&in_use, store->locks_fd, name, LOCK_SHARED, true);
    /* Nobody evicts from a store that cannot be written. */
    if (r < 0 && r != -EROFS)
        return log_errno(r, "cannot write to %s/v1/locks", store->path);
    *ret_first = !copies_were_made(store);
    return make_copy(store, key, id, ret_path);
}

/* ---- finding one ---- */

/* Opens each root that exists. */
static int each_root(const struct store *store,
                     int (*visit)(const struct root *root, void *context), void *context)
{
    AUTO_ROOT struct root disk = ROOT_INIT;
    AUTO_ROOT struct root memory = ROOT_INIT;
    int r = open_disk_root(store, false, &disk);
    if (r < 0 && r != -ENOENT)
        return r;
    r = r == 0 ? visit(&disk, context) : 0;
    if (r == 0 && open_memory_root(store, false, &memory) == 0)
        r = visit(&memory, context);
    return r;
}

struct wanted {
    const char *key;
    const char *id;
};

/* The directory that holds a session's: its descriptor, or -ENOENT. */
struct place {
    struct wanted wanted;
    int key_fd;
};

static int find_place(const struct root *root, void *context)
{
    struct place *place = context;
    struct stat status;
    AUTO_FD int fd = io_openat(root->fd, place->wanted.key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    if (fstatat(fd, place->wanted.id, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    place->key_fd = steal_fd(&fd);
    return 1;
}

static int open_place(const struct store *store, const char *key, const char *id)
{
    struct place place = {.wanted = {.key = key, .id = id}, .key_fd = -1};
    int r = each_root(store, find_place, &place);
    return r < 0 ? r : r == 0 ? -ENOENT : place.key_fd;
}

int copies_have(const struct store *store, const char *key, const char *id)
{
    int key_fd = open_place(store, key, id);
    if (key_fd < 0)
        return key_fd == -ENOENT ? 0 : key_fd;
    (void)close(key_fd);
    return 1;
}

int copies_reset(const struct store *store, const char *key, const char *id)
{
    AUTO_FD int key_fd = open_place(store, key, id);
    if (key_fd < 0)
        return key_fd;
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return log_fail(EIO, "the template %s is gone: the session cannot be reset", key);
    if (r == 0)
        r = copy_template(template, key_fd, id, true);
    return r < 0 && r != -ENOENT ? log_errno(r, "cannot reset the session %s", id) : r;
}

/* ---- leases ---- */

static const char lease_prefix[] = ".lease-";
enum { LEASE_NAME_MAX = sizeof(lease_prefix) + SESSION_ID_MAX, LEASE_TEXT_MAX = 80 };

static void fill_lease_name(char name[LEASE_NAME_MAX + 1], const char *id)
{
    (void)snprintf(name, LEASE_NAME_MAX + 1, "%s%s", lease_prefix, id);
}

int copies_set_lease(const struct store *store, const char *key, const char *id,
                     const struct session_lease *lease)
{
    AUTO_FD int key_fd = open_place(store, key, id);
    if (key_fd < 0)
        return key_fd;
    char name[LEASE_NAME_MAX + 1];
    char text[LEASE_TEXT_MAX];
    fill_lease_name(name, id);
    int length = snprintf(text, sizeof(text), "%" PRId64 " %" PRId32 " %" PRIu64 "\n",
                          lease->ends_ns, lease->owner_pid, lease->owner_start);
    return dir_write_file(key_fd, name, text, (size_t)length, 0600);
}

static bool is_over(int key_fd, const char *id)
{
    char name[LEASE_NAME_MAX + 1];
    fill_lease_name(name, id);
    AUTO_FREE char *text = NULL;
    struct session_lease lease = {0};
    if (dir_read_file(key_fd, name, LEASE_TEXT_MAX, &text, NULL) < 0 ||
        sscanf(text, "%" SCNd64 " %" SCNd32 " %" SCNu64, &lease.ends_ns, &lease.owner_pid,
               &lease.owner_start) != 3)
        return false;
    return session_lease_is_over(&lease);
}

/* ---- listing and removing ---- */

static int remove_copy(const struct root *root, const char *key, int key_fd, const char *id)
{
    char lease[LEASE_NAME_MAX + 1];
    fill_lease_name(lease, id);
    int r = dir_remove_tree(key_fd, lease);
    if (r == 0)
        r = dir_remove_tree(key_fd, id);
    return r < 0 ? log_errno(r, "cannot remove %s/%s/%s", root->path, key, id) : 0;
}

struct visiting {
    copies_visitor *visit; /* or NULL */
    void *context;
    bool sweeps;
    bool removed; /* something was, by that */
    const struct root *root;
    const char *key;
};

static int visit_id(int key_fd, const char *name, unsigned char type UNUSED, void *context)
{
    struct visiting *visiting = context;
    if (visiting->sweeps && is_unfinished(name))
        sweep_unfinished(key_fd, name);
    if (!session_id_is_valid(name))
        return 0;
    if (visiting->sweeps && is_over(key_fd, name) &&
        remove_copy(visiting->root, visiting->key, key_fd, name) == 0) {
        visiting->removed = true;
        return 0;
    }
    if (!visiting->visit)
        return 0;
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s/%s", visiting->root->path, visiting->key, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    struct copy copy = {.id = name, .path = path};
    (void)snprintf(copy.key, sizeof(copy.key), "%s", visiting->key);
    return visiting->visit(&copy, visiting->context);
}

static int visit_key(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct visiting *visiting = context;
    if (!sha256_is_hex(name))
        return 0;
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    visiting->key = name;
    int r = dir_each(fd, visit_id, visiting);
    if (r == 0 && visiting->sweeps && io_unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
        return 0; /* a session is in it */
    return r;
}

static int visit_root(const struct root *root, void *context)
{
    struct visiting *visiting = context;
    visiting->root = root;
    return dir_each(root->fd, visit_key, visiting);
}

int copies_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context};
    return each_root(store, visit_root, &visiting);
}

static int remove_from_root(const struct root *root, void *context)
{
    const struct wanted *wanted = context;
    struct place place = {.wanted = *wanted, .key_fd = -1};
    int r = find_place(root, &place);
    if (r <= 0)
        return r;
    AUTO_FD int key_fd = place.key_fd;
    r = remove_copy(root, wanted->key, key_fd, wanted->id);
    if (r < 0)
        return r;
    /* Another's sweep may have taken the empty directory already. */
    r = io_unlinkat(root->fd, wanted->key, AT_REMOVEDIR);
    return r == 0 || r == -ENOENT || r == -ENOTEMPTY || r == -EEXIST ? 1 : r;
}

/* A store without copies leaves nothing in memory: only empty directories go. */
static void leave_memory(const struct store *store)
{
    char digits[SHA256_HEX_LENGTH + 1];
    char path[128];
    if (store_digits(store, digits) < 0)
        return;
    (void)snprintf(path, sizeof(path), "%s/mintfs-copies-%u", shared_memory, (unsigned)geteuid());
    AUTO_FD int parent = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (parent < 0 || io_unlinkat(parent, digits, AT_REMOVEDIR) < 0)
        return;
    if (rmdir(path) < 0)
        return; /* of use to another store */
}

int copies_remove(const struct store *store, const char *key, const char *id)
{
    struct wanted wanted = {.key = key, .id = id};
    int r = each_root(store, remove_from_root, &wanted);
    leave_memory(store);
    return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int copies_sweep_each(const struct store *store, copies_visitor *visit, void *context)
{
    struct visiting visiting = {.visit = visit, .context = context, .sweeps = true};
    int r = each_root(store, visit_root, &visiting);
    if (visiting.removed)
        leave_memory(store);
    return r;
}

int copies_sweep(const struct store *store)
{
    return copies_sweep_each(store, NULL, NULL);
}
