/*
 * A session's tree against a real directory: random calls on both, their errors and the trees
 * compared, with recovery and compaction at random moments.
 *
 * MINTFS_TEST_SEED=N runs one seed, and MINTFS_TEST_TRACE=1 prints each call.
 */
#include "tests/unit/support.h"

#include "fs/base/table.h"
#include <fcntl.h>
#include <linux/fs.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/node.h"

enum {
    NAMES = 6,
    PATHS_MAX = 512,
    PATH_BYTES = 512,
    DEPTH_MAX = 10,
    HANDLES = 8,
    FILE_BYTES_MAX = 20000,
    IDENTITY_BYTES = 64,
};

/* Files of the model, by file handle, and the inode numbers that the session shows for them. */
struct identity {
    unsigned char key[IDENTITY_BYTES];
    uint64_t ino;
    UT_hash_handle hh;
};

struct handle {
    struct node *node; /* NULL: not in use */
    int fd;            /* of the same in the model */
};

struct world {
    struct place *place;
    struct rng *rng;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root;
    int model;
    bool model_counts_directories;
    char paths[PATHS_MAX][PATH_BYTES];
    unsigned path_count;
    struct handle handles[HANDLES];
    struct identity *identities;
    bool trace;
};

static const struct sample samples[] = {
    {.path = "n0", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n0", .type = ENTRY_FILE, .mode = 0644, .size = 5001},
    {.path = "n0/n1", .type = ENTRY_DIRECTORY, .mode = 0750},
    {.path = "n0/n1/n0", .type = ENTRY_DIRECTORY, .mode = 0711},
    {.path = "n0/n1/n0/n0", .type = ENTRY_FILE, .mode = 0400, .size = 1},
    {.path = "n0/n1/n0/n1", .type = ENTRY_FILE, .mode = 0600, .size = 4096},
    {.path = "n0/n1/n0/n2", .type = ENTRY_DIRECTORY, .mode = 0777},
    {.path = "n0/n1/n0/n2/n0", .type = ENTRY_FILE, .mode = 0640, .size = 4097},
    {.path = "n0/n1/n1", .type = ENTRY_FILE, .mode = 0644, .size = 8191},
    {.path = "n0/n1/n2", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n2", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n2/n0", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n2/n0/n3", .type = ENTRY_FILE, .mode = 0644, .size = 12289},
    {.path = "n0/n3", .type = ENTRY_SYMLINK, .mode = 0777, .target = "n1/n1"},
    {.path = "n1", .type = ENTRY_DIRECTORY, .mode = 0700},
    {.path = "n1/n0", .type = ENTRY_FILE, .mode = 0644, .size = 0},
    {.path = "n1/n1", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n1/n1/n1", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n1/n1/n1/n1", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n1/n1/n1/n1/n1", .type = ENTRY_FILE, .mode = 0644, .size = 3000},
    {.path = "n2", .type = ENTRY_FILE, .mode = 0444, .size = 9999},
    {.path = "n3", .type = ENTRY_SYMLINK, .mode = 0777, .target = "n0"},
    {.path = "n4", .type = ENTRY_DIRECTORY, .mode = 0755},
};

/* ---- the model ---- */

static mode_t shown_mode(const struct sample *sample)
{
    return sample->mode | (sample->type == ENTRY_DIRECTORY ? S_IRWXU : S_IWUSR);
}

static void fill_model(int model)
{
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        const struct sample *sample = &samples[i];
        if (sample->type == ENTRY_DIRECTORY) {
            CHECK_EQ(mkdirat(model, sample->path, 0700), 0);
        } else if (sample->type == ENTRY_SYMLINK) {
            CHECK_EQ(symlinkat(sample->target, model, sample->path), 0);
            continue;
        } else {
            char bytes[FILE_BYTES_MAX];
            sample_fill(sample->path, bytes, sample->size);
            AUTO_FD int fd = openat(model, sample->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
            CHECK(fd >= 0);
            CHECK_EQ(io_pwrite(fd, bytes, sample->size, 0), 0);
        }
        CHECK_EQ(fchmodat(model, sample->path, shown_mode(sample), 0), 0);
    }
}

/* Some file systems count one link for each directory, whatever is in it. */
static bool counts_directories(int model)
{
    struct stat status;
    CHECK_EQ(mkdirat(model, "probe", 0700), 0);
    CHECK_EQ(mkdirat(model, "probe/sub", 0700), 0);
    CHECK_EQ(fstatat(model, "probe", &status, 0), 0);
    CHECK_EQ(dir_remove_tree(model, "probe"), 0);
    return status.st_nlink == 3;
}

/* ---- whole trees ---- */

struct listed {
    char name[NAME_BYTES_MAX + 1];
    uint64_t ino;
    mode_t type;
    uint64_t cookie;
};

struct listing {
    struct listed entries[256];
    unsigned count;
    unsigned limit; /* stop behind so many */
};

static bool list_entry(const char *name, uint64_t ino, mode_t type, uint64_t cookie, void *context)
{
    struct listing *listing = context;
    if (listing->count == listing->limit)
        return false;
    CHECK(listing->count < ARRAY_LENGTH(listing->entries));
    struct listed *entry = &listing->entries[listing->count++];
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->ino = ino;
    entry->type = type;
    entry->cookie = cookie;
    return true;
}

static int compare_listed(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static void list_sorted(struct node *directory, struct listing *listing)
{
    listing->count = 0;
    listing->limit = UINT32_MAX;
    session_readdir(directory, 0, list_entry, listing);
    for (unsigned i = 1; i < listing->count; i++)
        CHECK(listing->entries[i].cookie > listing->entries[i - 1].cookie);
    qsort(listing->entries, listing->count, sizeof(*listing->entries), compare_listed);
}

static void check_identity(struct world *world, int fd, uint64_t ino)
{
    struct identity probe = {0};
    struct {
        struct file_handle head;
        unsigned char bytes[IDENTITY_BYTES];
    } handle = {.head.handle_bytes = IDENTITY_BYTES};
    int mount_id;
    if (name_to_handle_at(fd, "", &handle.head, &mount_id, AT_EMPTY_PATH) < 0)
        return; /* not here */
    memcpy(probe.key, handle.bytes, handle.head.handle_bytes);
    struct identity *known;
    HASH_FIND(hh, world->identities, probe.key, IDENTITY_BYTES, known);
    if (known) {
        CHECK_EQ(ino, known->ino);
        return;
    }
    known = malloc(sizeof(*known));
    CHECK(known);
    *known = probe;
    known->ino = ino;
    HASH_ADD(hh, world->identities, key, IDENTITY_BYTES, known);
}

static void check_content(struct node *node, int fd, off_t size)
{
    char expected[FILE_BYTES_MAX];
    CHECK(size <= FILE_BYTES_MAX);
    AUTO_FREE char *path = NULL;
    CHECK(asprintf(&path, "/proc/self/fd/%d", fd) > 0);
    AUTO_FD int readable = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(readable >= 0);
    CHECK_EQ(io_pread(readable, expected, sizeof(expected), 0), size);
    file_check(node, expected, (size_t)size);
}

/* The same thing on both sides? fd is of the model, opened with O_PATH. */
static void check_same(struct world *world, struct node *node, int fd)
{
    struct stat ours;
    struct stat theirs;
    node_stat(node, &ours);
    CHECK_EQ(fstatat(fd, "", &theirs, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(ours.st_mode, theirs.st_mode);
    CHECK_EQ(ours.st_uid, theirs.st_uid);
    CHECK_EQ(ours.st_gid, theirs.st_gid);
    if (!S_ISDIR(ours.st_mode)) {
        CHECK_EQ(ours.st_nlink, theirs.st_nlink);
        CHECK_EQ(ours.st_size, theirs.st_size);
    } else if (world->model_counts_directories) {
        CHECK_EQ(ours.st_nlink, theirs.st_nlink);
    }
    if (S_ISREG(ours.st_mode))
        check_content(node, fd, theirs.st_size);
    if (S_ISLNK(ours.st_mode)) {
        char target[PATH_BYTES];
        ssize_t length = readlinkat(fd, "", target, sizeof(target));
        CHECK_EQ(length, strlen(node_target(node)));
        CHECK(!memcmp(target, node_target(node), (size_t)length));
    }
}

static void note_path(struct world *world, const char *path)
{
    unsigned at = world->path_count < PATHS_MAX ? world->path_count++
                                                : (unsigned)rng_below(world->rng, PATHS_MAX);
    (void)snprintf(world->paths[at], PATH_BYTES, "%s", path);
}

static unsigned count_model(int fd)
{
    unsigned count = 0;
    DIR *stream = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(stream);
    while (readdir(stream))
        count++;
    (void)closedir(stream);
    return count;
}

static void check_tree(struct world *world, struct node *directory, struct node *parent, int fd,
                       const char *path)
{
    AUTO_FREE struct listing *listing = malloc(sizeof(*listing));
    CHECK(listing);
    list_sorted(directory, listing);
    CHECK_EQ(listing->count, count_model(fd));
    struct stat own;
    struct stat above;
    node_stat(directory, &own);
    node_stat(parent, &above);
    for (unsigned i = 0; i < listing->count; i++) {
        const struct listed *entry = &listing->entries[i];
        CHECK(i == 0 || strcmp(entry[-1].name, entry->name) != 0);
        CHECK(entry->type == (entry->type & S_IFMT));
        if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) {
            CHECK_EQ(entry->ino, entry->name[1] ? above.st_ino : own.st_ino);
            continue;
        }
        char child_path[PATH_BYTES];
        (void)snprintf(child_path, sizeof(child_path), "%s%s%s", path, *path ? "/" : "",
                       entry->name);
        struct node *child = NULL;
        CHECK_EQ(session_lookup(directory, entry->name, &child), 0);
        AUTO_FD int child_fd = openat(fd, entry->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (child_fd < 0)
            support_fail(__FILE__, __LINE__, "%s is not in the model", child_path);
        struct stat status;
        node_stat(child, &status);
        CHECK_EQ(status.st_ino, entry->ino);
        CHECK_EQ(status.st_mode & S_IFMT, entry->type);
        check_same(world, child, child_fd);
        check_identity(world, child_fd, status.st_ino);
        note_path(world, child_path);
        if (S_ISDIR(status.st_mode))
            check_tree(world, child, directory, child_fd, child_path);
        node_unref(child, 1);
    }
}

static void check_all(struct world *world)
{
    world->path_count = 0;
    note_path(world, "");
    check_same(world, world->root, world->model);
    check_tree(world, world->root, world->root, world->model, "");
    for (unsigned i = 0; i < HANDLES; i++)
        if (world->handles[i].node)
            check_same(world, world->handles[i].node, world->handles[i].fd);
}

/* ---- places for the calls ---- */

struct where {
    struct node *node; /* the directory; NULL where there is none */
    int fd;            /* the same in the model */
    char name[16];
    char path[PATH_BYTES];
};

static void where_fini(struct where *where)
{
    if (where->node)
        node_unref(where->node, 1);
    if (where->fd >= 0)
        (void)close(where->fd);
}
#define AUTO_WHERE CLEANUP(where_fini)

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

/* The directory of that path on both sides. */
static void enter(struct world *world, const char *path, struct where *where)
{
    int error = 0;
    where->node = node_at(world->root, path, &error);
    struct stat status = {0};
    if (where->node)
        node_stat(where->node, &status);
    if (where->node && !S_ISDIR(status.st_mode)) {
        node_unref(where->node, 1);
        where->node = NULL;
    }
    where->fd = *path ? dir_open_beneath(world->model, path, O_PATH | O_DIRECTORY)
                      : openat(world->model, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_EQ(where->node != NULL, where->fd >= 0);
}

/* A path that was there not long ago, or a random name in such a directory. */
static struct where pick(struct world *world)
{
    struct where where = {.fd = -1};
    const char *known = world->paths[rng_below(world->rng, world->path_count)];
    char directory[PATH_BYTES];
    (void)snprintf(directory, sizeof(directory), "%s", known);
    char *slash = strrchr(directory, '/');
    if (*known && rng_chance(world->rng, 60)) {
        (void)snprintf(where.name, sizeof(where.name), "%.15s", slash ? slash + 1 : directory);
        *(slash ? slash : directory) = '\0';
    } else {
        (void)snprintf(where.name, sizeof(where.name), "n%u",
                       (unsigned)rng_below(world->rng, NAMES));
    }
    unsigned handle = (unsigned)rng_below(world->rng, HANDLES);
    if (rng_chance(world->rng, 3) && world->handles[handle].node &&
        node_is_directory(world->handles[handle].node)) {
        /* A directory that may be gone, as somebody's working directory. */
        where.node = world->handles[handle].node;
        node_ref(where.node);
        where.fd = fcntl(world->handles[handle].fd, F_DUPFD_CLOEXEC, 0);
        CHECK(where.fd >= 0);
        (void)snprintf(where.path, sizeof(where.path), "(handle %u)/%s", handle, where.name);
        return where;
    }
    if (depth_of(directory) >= DEPTH_MAX)
        directory[0] = '\0';
    enter(world, directory, &where);
    (void)snprintf(where.path, sizeof(where.path), "%.400s%s%s", directory, *directory ? "/" : "",
                   where.name);
    return where;
}

/* ---- the calls: each does the same on both sides, and compares the errors ---- */

static void trace(const struct world *world, int r, const char *format, ...) PRINTF_LIKE(3, 4);
static void trace(const struct world *world, int r, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, " = %d\n", r);
    va_end(arguments);
}

static int errno_of(int r)
{
    return r < 0 ? -errno : 0;
}

static void do_make(struct world *world, mode_t type)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    mode_t mode = type == S_IFDIR ? 0700 | (mode_t)rng_below(world->rng, 01000)
                                  : 0600 | (mode_t)rng_below(world->rng, 01000);
    char target[64];
    (void)snprintf(target, sizeof(target), "to/%u", (unsigned)rng_below(world->rng, 1000));
    if (type == S_IFLNK)
        mode = 0777;
    struct node_new how = {
        .mode = type | mode, .uid = geteuid(), .gid = getegid(), .target = target};
    struct node *node = NULL;
    int ours = session_make(where.node, where.name, &how, &node);
    int theirs;
    if (type == S_IFDIR)
        theirs = errno_of(mkdirat(where.fd, where.name, mode));
    else if (type == S_IFLNK)
        theirs = errno_of(symlinkat(target, where.fd, where.name));
    else
        theirs = errno_of(mknodat(where.fd, where.name, type | mode, 0));
    trace(world, ours, "make %o %s", type | mode, where.path);
    CHECK_EQ(ours, theirs);
    if (ours < 0)
        return;
    node_unref(node, 1);
    note_path(world, where.path);
}

static void do_tmpfile(struct world *world)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    struct node_new how = {.mode = S_IFREG | 0644, .uid = geteuid(), .gid = getegid()};
    struct node *node = NULL;
    char path[64];
    char bytes[5000];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", where.fd);
    AUTO_FD int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    int ours = session_make(where.node, NULL, &how, &node);
    trace(world, ours, "tmpfile for %s", where.path);
    if (fd < 0 && errno == EOPNOTSUPP) {
        if (node)
            node_unref(node, 1);
        return;
    }
    CHECK_EQ(ours, fd < 0 ? -errno : 0);
    if (ours < 0)
        return;
    rng_fill(world->rng, bytes, sizeof(bytes));
    size_t size = rng_below(world->rng, sizeof(bytes));
    CHECK_EQ(file_write(node, bytes, size, 0), 0);
    CHECK_EQ(io_pwrite(fd, bytes, size, 0), 0);
    if (rng_chance(world->rng, 80)) {
        ours = session_link(node, where.node, where.name);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int theirs = errno_of(linkat(AT_FDCWD, path, where.fd, where.name, AT_SYMLINK_FOLLOW));
        trace(world, ours, "link it to %s", where.path);
        CHECK_EQ(ours, theirs);
        if (ours == 0)
            note_path(world, where.path);
    }
    node_unref(node, 1);
}

static void do_link(struct world *world)
{
    AUTO_WHERE struct where from = pick(world);
    AUTO_WHERE struct where to = pick(world);
    if (!from.node || !to.node)
        return;
    struct node *node = NULL;
    int ours = session_lookup(from.node, from.name, &node);
    if (ours == 0) {
        ours = session_link(node, to.node, to.name);
        node_unref(node, 1);
    }
    int theirs = errno_of(linkat(from.fd, from.name, to.fd, to.name, 0));
    trace(world, ours, "link %s %s", from.path, to.path);
    CHECK((ours == 0) == (theirs == 0));
    /* Which of several reasons is said first is the kernel's business. */
    if (ours != -EEXIST && theirs != -EEXIST && ours != -ENOENT && theirs != -ENOENT)
        CHECK_EQ(ours, theirs);
    if (ours == 0)
        note_path(world, to.path);
}

static void do_remove(struct world *world, bool directory)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    int ours =
        directory ? session_rmdir(where.node, where.name) : session_unlink(where.node, where.name);
    int theirs = errno_of(unlinkat(where.fd, where.name, directory ? AT_REMOVEDIR : 0));
    trace(world, ours, "%s %s", directory ? "rmdir" : "unlink", where.path);
    CHECK_EQ(ours, theirs);
}

static bool is_about_types(int r)
{
    return r == -EISDIR || r == -ENOTDIR || r == -ENOTEMPTY || r == -EINVAL;
}

static void do_rename(struct world *world, unsigned flags)
{
    AUTO_WHERE struct where from = pick(world);
    AUTO_WHERE struct where to = pick(world);
    if (!from.node || !to.node)
        return;
    int ours = session_rename(from.node, from.name, to.node, to.name, flags);
    int theirs = errno_of(renameat2(from.fd, from.name, to.fd, to.name, flags));
    trace(world, ours, "rename %s %s %u", from.path, to.path, flags);
    if (!is_about_types(ours) || !is_about_types(theirs))
        CHECK_EQ(ours, theirs);
    if (ours == 0)
        note_path(world, to.path);
}

static int model_open(const struct where *where, int flags)
{
    return openat(where->fd, where->name, flags | O_NOFOLLOW | O_CLOEXEC);
}

static struct node *node_of(const struct where *where, int *ret_error)
{
    struct node *node = NULL;
    *ret_error = session_lookup(where->node, where->name, &node);
    return node;
}

static void do_set(struct world *world)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    int error;
    struct node *node = node_of(&where, &error);
    if (!node)
        return;
    struct stat to = {0};
    node_stat(node, &to);
    bool regular = S_ISREG(to.st_mode);
    unsigned kind = (unsigned)rng_below(world->rng, 3);
    int ours = 0;
    int theirs = 0;
    if (kind == 0 && !S_ISLNK(to.st_mode)) {
        to.st_mode = 0700 | (mode_t)rng_below(world->rng, 01000);
        ours = node_set(node, &to, NODE_SET_MODE);
        theirs = errno_of(fchmodat(where.fd, where.name, to.st_mode, 0));
    } else if (kind == 1 && geteuid() == 0) {
        to.st_uid = (uid_t)rng_below(world->rng, 3);
        to.st_gid = (gid_t)rng_below(world->rng, 3);
        ours = node_set(node, &to, NODE_SET_UID | NODE_SET_GID);
        theirs =
            errno_of(fchownat(where.fd, where.name, to.st_uid, to.st_gid, AT_SYMLINK_NOFOLLOW));
        /* What a real file system does to the mode then is the mount's business. */
        struct stat now;
        CHECK_EQ(fstatat(where.fd, where.name, &now, AT_SYMLINK_NOFOLLOW), 0);
        to.st_mode = now.st_mode;
        if (!S_ISLNK(now.st_mode))
            CHECK_EQ(node_set(node, &to, NODE_SET_MODE), 0);
    } else if (kind == 2 && regular) {
        to.st_size = (off_t)rng_below(world->rng, FILE_BYTES_MAX);
        AUTO_FD int fd = model_open(&where, O_RDWR);
        CHECK(fd >= 0);
        ours = node_set(node, &to, NODE_SET_SIZE);
        theirs = errno_of(ftruncate(fd, to.st_size));
    }
    trace(world, ours, "set %u %s", kind, where.path);
    CHECK_EQ(ours, theirs);
    node_unref(node, 1);
}

static void write_both(struct world *world, struct node *node, int fd, const char *path)
{
    char bytes[6000];
    size_t size = 1 + rng_below(world->rng, sizeof(bytes));
    uint64_t offset = rng_below(world->rng, FILE_BYTES_MAX - size);
    rng_fill(world->rng, bytes, size);
    trace(world, 0, "write %s %zu at %llu", path, size, (unsigned long long)offset);
    CHECK_EQ(file_write(node, bytes, size, offset), 0);
    CHECK_EQ(io_pwrite(fd, bytes, size, (off_t)offset), 0);
}

static void do_write(struct world *world)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    int error;
    struct node *node = node_of(&where, &error);
    if (!node)
        return;
    struct stat status;
    node_stat(node, &status);
    if (S_ISREG(status.st_mode)) {
        AUTO_FD int fd = model_open(&where, O_RDWR);
        CHECK(fd >= 0);
        write_both(world, node, fd, where.path);
    }
    node_unref(node, 1);
}

static void do_look(struct world *world)
{
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    int error;
    struct node *node = node_of(&where, &error);
    AUTO_FD int fd = model_open(&where, O_PATH);
    CHECK_EQ(error, fd < 0 ? -errno : 0);
    if (!node)
        return;
    check_same(world, node, fd);
    node_unref(node, 1);
}

static void close_handle(struct handle *handle)
{
    if (!handle->node)
        return;
    node_unref(handle->node, 1);
    (void)close(handle->fd);
    handle->node = NULL;
}

/* Keeps a thing in use, whatever becomes of its names. */
static void do_hold(struct world *world)
{
    struct handle *handle = &world->handles[rng_below(world->rng, HANDLES)];
    close_handle(handle);
    AUTO_WHERE struct where where = pick(world);
    if (!where.node)
        return;
    int error;
    struct node *node = node_of(&where, &error);
    if (!node)
        return;
    handle->node = node;
    handle->fd = model_open(&where, O_PATH);
    CHECK(handle->fd >= 0);
    trace(world, 0, "hold %s", where.path);
}

static void do_use_handle(struct world *world)
{
    const struct handle *handle = &world->handles[rng_below(world->rng, HANDLES)];
    if (!handle->node)
        return;
    struct stat status;
    node_stat(handle->node, &status);
    if (S_ISREG(status.st_mode)) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", handle->fd);
        AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
        CHECK(fd >= 0);
        write_both(world, handle->node, fd, "(handle)");
    }
    check_same(world, handle->node, handle->fd);
}

/* ---- the session goes and comes ---- */

static void close_world(struct world *world)
{
    for (unsigned i = 0; i < HANDLES; i++)
        close_handle(&world->handles[i]);
    node_unref(world->root, 1);
    world->root = NULL;
}

static void reopen(struct world *world)
{
    trace(world, 0, "reopen");
    close_world(world);
    struct node *root = session_found(world->scratch, world->key, "s");
    uint64_t bytes = session_bytes(node_session(root));
    uint64_t serial = session_serial(node_session(root));
    node_unref(root, 1);
    said_begin();
    scratch_close(world->scratch);
    world->scratch = scratch_of(world->place);
    AUTO_FREE char *said = said_end();
    if (*said)
        support_fail(__FILE__, __LINE__, "it said: %s", said);
    world->root = session_found(world->scratch, world->key, "s");
    CHECK_EQ(session_serial(node_session(world->root)), serial);
    CHECK_EQ(session_bytes(node_session(world->root)), bytes);
    check_all(world);
}

static void compact(struct world *world)
{
    trace(world, 0, "compact");
    CHECK_EQ(session_compact(node_session(world->root), true), 0);
}

/* ---- running ---- */

static void step(struct world *world)
{
    static const struct {
        unsigned weight;
        int call;
    } calls[] = {{100, 'c'}, {70, 'd'},  {25, 'y'}, {15, 'f'}, {25, 't'}, {80, 'l'}, {90, 'u'},
                 {80, 'r'},  {150, 'm'}, {40, 'n'}, {90, 'x'}, {60, 's'}, {70, 'w'}, {40, 'k'},
                 {25, 'h'},  {40, 'a'},  {6, 'C'},  {5, 'R'},  {25, 'A'}};
    unsigned total = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(calls); i++)
        total += calls[i].weight;
    unsigned at = (unsigned)rng_below(world->rng, total);
    size_t i = 0;
    for (; at >= calls[i].weight; i++)
        at -= calls[i].weight;
    switch (calls[i].call) {
    case 'c':
        return do_make(world, S_IFREG);
    case 'd':
        return do_make(world, S_IFDIR);
    case 'y':
        return do_make(world, S_IFLNK);
    case 'f':
        return do_make(world, S_IFIFO);
    case 't':
        return do_tmpfile(world);
    case 'l':
        return do_link(world);
    case 'u':
        return do_remove(world, false);
    case 'r':
        return do_remove(world, true);
    case 'm':
        return do_rename(world, 0);
    case 'n':
        return do_rename(world, RENAME_NOREPLACE);
    case 'x':
        return do_rename(world, RENAME_EXCHANGE);
    case 's':
        return do_set(world);
    case 'w':
        return do_write(world);
    case 'k':
        return do_look(world);
    case 'h':
        return do_hold(world);
    case 'a':
        return do_use_handle(world);
    case 'C':
        return compact(world);
    case 'R':
        if (rng_chance(world->rng, 50))
            compact(world);
        return reopen(world);
    default:
        return check_all(world);
    }
}

static void begin_world(struct world *world, struct place *place, struct rng *rng)
{
    *world = (struct world){.place = place, .rng = rng, .model = -1};
    world->trace = getenv("MINTFS_TEST_TRACE");
    place_template(place, samples, ARRAY_LENGTH(samples), world->key);
    world->scratch = scratch_of(place);
    world->root = session_made(world->scratch, world->key, "s");
    world->model = dir_ensure(place->fd, "model", 0700);
    CHECK(world->model >= 0);
    world->model_counts_directories = counts_directories(world->model);
    fill_model(world->model);
    check_all(world);
}

static void end_world(struct world *world)
{
    close_world(world);
    /* What it took is given back to the last block. */
    CHECK_EQ(scratch_session_discard(world->scratch, world->key, "s"), 0);
    struct scratch_counts counts;
    scratch_count(world->scratch, &counts);
    CHECK_EQ(counts.sessions, 0);
    CHECK_EQ(counts.stored_bytes, 0);
    scratch_close(world->scratch);
    (void)close(world->model);
    CHECK_EQ(dir_remove_tree(world->place->fd, "model"), 0);
    struct identity *identity;
    struct identity *next;
    HASH_ITER (hh, world->identities, identity, next) {
        HASH_DEL(world->identities, identity);
        free(identity);
    }
}

static void run_tree(struct rng *rng, void *context)
{
    enum { STEPS = 1500 };
    uint64_t seed = rng->state;
    struct world *world = malloc(sizeof(*world));
    CHECK(world);
    begin_world(world, context, rng);
    for (int i = 0; i < STEPS; i++) {
        support_context("MINTFS_TEST_SEED=%llu, call %d", (unsigned long long)seed, i);
        if (world->trace)
            (void)fprintf(stderr, "%d: ", i);
        step(world);
    }
    check_all(world);
    reopen(world);
    end_world(world);
    free(world);
}

static void test_against_a_directory(void **state)
{
    support_each_seed(20, run_tree, *state);
}

int main(void)
{
    (void)umask(0);
    const struct CMUnitTest tests[] = {
        TEST(test_against_a_directory),
    };
    return cmocka_run_group_tests_name("overlay-tree", tests, NULL, NULL);
}
