/*
 * Covers dirops, node and directory: random calls on a session and on a real directory, whose
 * errors and trees are compared, with recovery and compaction at random moments.
 *
 * MINTFS_TEST_SEED=N runs one seed, and MINTFS_TEST_TRACE=1 prints each call.
 */
#include "tests/unit/support_tree.h"

#include <fcntl.h>
#include <linux/fs.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/overlay_internal.h"

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
        /* A directory that may be removed, as a working directory can be. */
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
    tree_note(world, where.path);
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
            tree_note(world, where.path);
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
    /* Which of several reasons is logged first is the kernel's business. */
    if (ours != -EEXIST && theirs != -EEXIST && ours != -ENOENT && theirs != -ENOENT)
        CHECK_EQ(ours, theirs);
    if (ours == 0)
        tree_note(world, to.path);
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
        tree_note(world, to.path);
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
    tree_check_same(world, node, fd);
    node_unref(node, 1);
}

/* Keeps a thing in use, whatever becomes of its names. */
static void do_hold(struct world *world)
{
    struct handle *handle = &world->handles[rng_below(world->rng, HANDLES)];
    tree_close_handle(handle);
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
    tree_check_same(world, handle->node, handle->fd);
}

/* ---- closing, killing and recovering ---- */

static void reopen(struct world *world)
{
    trace(world, 0, "reopen");
    tree_close(world);
    struct node *root = session_found(world->scratch, world->key, "s");
    uint64_t bytes = session_bytes(node_session(root));
    uint64_t serial = session_serial(node_session(root));
    node_unref(root, 1);
    stderr_capture();
    scratch_close(world->scratch);
    world->scratch = scratch_of(world->place);
    AUTO_FREE char *logged = stderr_captured();
    if (*logged)
        support_fail(__FILE__, __LINE__, "it logged: %s", logged);
    world->root = session_found(world->scratch, world->key, "s");
    CHECK_EQ(session_serial(node_session(world->root)), serial);
    CHECK_EQ(session_bytes(node_session(world->root)), bytes);
    tree_check(world);
}

static void compact(struct world *world)
{
    trace(world, 0, "compact");
    CHECK_EQ(session_rewrite_log(node_session(world->root)), 0);
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
        return tree_check(world);
    }
}

static void run_tree(struct rng *rng, void *context)
{
    enum { STEPS = 1500 };
    uint64_t seed = rng->state;
    struct world *world = malloc(sizeof(*world));
    CHECK(world);
    tree_begin(world, context, rng);
    for (int i = 0; i < STEPS; i++) {
        support_context("MINTFS_TEST_SEED=%llu, call %d", (unsigned long long)seed, i);
        if (world->trace)
            (void)fprintf(stderr, "%d: ", i);
        step(world);
    }
    tree_check(world);
    reopen(world);
    tree_end(world);
    free(world);
}

static void test_a_session_behaves_like_a_directory(void **state)
{
    support_each_seed(20, run_tree, *state);
}

int main(void)
{
    (void)umask(0);
    const struct CMUnitTest tests[] = {
        TEST(test_a_session_behaves_like_a_directory),
    };
    return cmocka_run_group_tests_name("overlay-tree", tests, NULL, NULL);
}
