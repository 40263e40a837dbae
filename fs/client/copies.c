#include "fs/client/copies.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/client/copy_lease.h"
#include "fs/client/copy_roots.h"
#include "fs/store/lock_names.h"
#include "fs/store/session_id.h"
#include "fs/store/sqlite_header.h"
#include "fs/store/template.h"

enum {
    /* A copy in memory must leave free this much, and at least as much as it takes. */
    ROOM_TO_LEAVE_BYTES = 64 << 20,
};

static bool has_room(const struct copy_root *root, uint64_t bytes)
{
    struct statvfs status;
    if (fstatvfs(root->fd, &status) < 0)
        return false;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    return room / 2 > bytes && room - bytes > ROOM_TO_LEAVE_BYTES;
}

/* Templates are stored in rollback mode; a session begins in the mode that the builder left. */
static int restore_journal_mode(int fd)
{
    static const uint8_t wal[SQLITE_VERSIONS_SIZE] = {SQLITE_VERSION_WAL, SQLITE_VERSION_WAL};
    return io_pwrite(fd, wal, sizeof(wal), SQLITE_VERSIONS_OFFSET);
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

/* Creates a directory with the builder's mode, regardless of the umask. */
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

static int keep_mode(int key_fd, const char *id, int fd)
{
    struct stat status;
    if (fstatat(key_fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return io_fchmod(fd, status.st_mode & 07777);
}

/*
 * Swaps the new directory `beside` with the session's; afterwards `beside` has the old files. The
 * caller holds the key's lock.
 */
static int exchange_held(int key_fd, const char *id, const char *beside, int fd)
{
    int r = keep_mode(key_fd, id, fd);
    if (r == 0)
        r = io_renameat_exchange(key_fd, beside, key_fd, id);
    return r < 0 ? r : copy_lease_renew(key_fd, id);
}

/*
 * Gives the new directory `beside` its ID; the caller holds the key's lock. The lease is written
 * first: a copy without one would stay for ever if this process were killed in between.
 */
static int name_held(const struct copy_root *root, int key_fd, const char *id, const char *beside,
                     const struct copy_lease *lease)
{
    struct stat status;
    if (fstatat(key_fd, id, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    int r = copy_lease_write(root->fd, key_fd, id, lease);
    if (r == 0)
        r = io_renameat_new(key_fd, beside, key_fd, id);
    if (r < 0 && lease && copy_lease_write(root->fd, key_fd, id, NULL) < 0)
        log_warning("cannot remove the lease of the copy %s", id);
    return r;
}

/*
 * Creates the directory for files that are being copied, and holds its lock until it gets its ID: a
 * directory that nobody holds was left by a killed process. Returns its descriptor; -ENOENT if the
 * key's directory was removed meanwhile.
 */
static int make_unfinished(int key_fd, const char *name)
{
    int r = copy_key_lock(key_fd);
    if (r < 0)
        return r;
    AUTO_FD int fd = dir_ensure(key_fd, name, 0700);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        r = -errno;
    copy_key_unlock(key_fd);
    return r < 0 ? r : steal_fd(&fd);
}

/* A new copy gets an ID that must be free; a reset replaces the files of a copy that exists. */
enum copy_purpose { COPY_NEW, COPY_RESET };

/*
 * Copies into an unfinished directory, then gives it the ID. After a reset, removes the old files.
 */
static int copy_template(const struct template *template, const struct copy_root *root, int key_fd,
                         const char *id, const struct copy_lease *lease, enum copy_purpose purpose)
{
    char beside[UNFINISHED_NAME_LENGTH + 1];
    int r = copy_unfinished_name(beside);
    AUTO_FD int fd = r < 0 ? r : make_unfinished(key_fd, beside);
    if (fd < 0)
        return fd;
    const struct manifest *manifest = template->manifest;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++)
        r = copy_entry(template, &manifest->entries[i], fd);
    if (r == 0)
        r = copy_key_lock(key_fd);
    if (r == 0) {
        r = purpose == COPY_RESET ? exchange_held(key_fd, id, beside, fd)
                                  : name_held(root, key_fd, id, beside, lease);
        copy_key_unlock(key_fd);
    }
    if ((r < 0 || purpose == COPY_RESET) && dir_remove_tree(key_fd, beside) < 0)
        log_warning("cannot remove the files of a copy: %s", beside);
    return r;
}

/* Whether a copy in the store would share blocks with the template; tried with its first file. */
static bool can_reflink(const struct template *template, const struct copy_root *root)
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
                       struct copy_root *ret_root)
{
    AUTO_ROOT struct copy_root disk = ROOT_INIT;
    AUTO_ROOT struct copy_root memory = ROOT_INIT;
    int r = copy_root_open_disk(store, COPY_ROOT_CREATE, &disk);
    if (r < 0)
        return r;
    bool use_memory = !can_reflink(template, &disk) &&
                      copy_root_open_memory(store, COPY_ROOT_CREATE, &memory) == 0 &&
                      has_room(&memory, manifest_size_bytes(template->manifest));
    struct copy_root *chosen = use_memory ? &memory : &disk;
    *ret_root = *chosen;
    *chosen = (struct copy_root)ROOT_INIT;
    return 0;
}

static int copy_below(const struct store *store, const struct template *template, const char *id,
                      const struct copy_lease *lease, char **ret_path)
{
    AUTO_ROOT struct copy_root root = ROOT_INIT;
    int r = choose_root(store, template, &root);
    if (r < 0)
        return r;
    AUTO_FD int key_fd = dir_ensure(root.fd, template->key, 0700);
    r = key_fd < 0 ? key_fd : copy_template(template, &root, key_fd, id, lease, COPY_NEW);
    if (r == -EEXIST)
        return log_fail(EEXIST, "a session %s of this template exists already; take another ID",
                        id);
    if (r == -ENOENT)
        return r;
    if (r < 0)
        return log_errno(r, "cannot make the session %s/%s/%s", root.path, template->key, id);
    *ret_path = text_format("%s/%s/%s", root.path, template->key, id);
    return *ret_path ? 0 : -ENOMEM;
}

static int make_copy(const struct store *store, const char *key, const char *id,
                     const struct copy_lease *lease, char **ret_path)
{
    enum { TRIES = 20 };
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return log_fail(ENOENT, "no template %s in the store %s; mintfs ls lists them", key,
                        store->path);
    if (r < 0)
        return r;
    /*
     * A process that removes the last copy of a key removes the key's directory too, perhaps now.
     */
    r = -ENOENT;
    for (int i = 0; r == -ENOENT && i < TRIES; i++)
        r = copy_below(store, template, id, lease, ret_path);
    return r == -ENOENT ? log_errno(r, "cannot make the session %s", id) : r;
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

static int open_key_of(const struct store *store, const char *key, const char *id)
{
    struct wanted wanted = {.key = key, .id = id, .key_fd = -1};
    int r = copy_root_each(store, find_wanted, &wanted);
    return r < 0 ? r : r == 0 ? -ENOENT : wanted.key_fd;
}

int copies_have(const struct store *store, const char *key, const char *id)
{
    int key_fd = open_key_of(store, key, id);
    if (key_fd < 0)
        return key_fd == -ENOENT ? 0 : key_fd;
    (void)close(key_fd);
    return 1;
}

int copies_new(const struct store *store, const char *key, const char *id,
               const struct copy_lease *lease, char **ret_path, bool *ret_first)
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
    /* Prevents eviction of the template while its files are read. */
    AUTO_LOCK struct lock in_use = LOCK_INIT;
    char name[KEY_LOCK_NAME_SIZE];
    lock_name_for_use(key, name);
    r = lock_take(&in_use, store->locks_fd, name, LOCK_SHARED, LOCK_WAIT);
    /* Nobody can evict from a read-only store. */
    if (r < 0 && r != -EROFS)
        return log_errno(r, "cannot write to %s/v1/locks", store->path);
    *ret_first = !copy_root_was_made(store);
    return make_copy(store, key, id, lease, ret_path);
}

int copies_reset(const struct store *store, const char *key, const char *id)
{
    AUTO_FD int key_fd = open_key_of(store, key, id);
    if (key_fd < 0)
        return key_fd;
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return log_fail(EIO, "the template %s is gone: the session cannot be reset", key);
    if (r == 0)
        r = copy_template(template, NULL, key_fd, id, NULL, COPY_RESET);
    return r < 0 && r != -ENOENT ? log_errno(r, "cannot reset the session %s", id) : r;
}
