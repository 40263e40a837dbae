#include "tests/unit/support_tree.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/overlay_internal.h"

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

/* Some file systems give every directory a link count of one. */
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
    unsigned limit; /* stop after this many */
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
    CHECK(HASH_ADDED(known));
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

void tree_check_same(struct world *world, struct node *node, int fd)
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

void tree_note(struct world *world, const char *path)
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
        tree_check_same(world, child, child_fd);
        check_identity(world, child_fd, status.st_ino);
        tree_note(world, child_path);
        if (S_ISDIR(status.st_mode))
            check_tree(world, child, directory, child_fd, child_path);
        node_unref(child, 1);
    }
}

void tree_check(struct world *world)
{
    world->path_count = 0;
    tree_note(world, "");
    tree_check_same(world, world->root, world->model);
    check_tree(world, world->root, world->root, world->model, "");
    for (unsigned i = 0; i < HANDLES; i++)
        if (world->handles[i].node)
            tree_check_same(world, world->handles[i].node, world->handles[i].fd);
}

/* ---- setup and teardown ---- */

void tree_close_handle(struct handle *handle)
{
    if (!handle->node)
        return;
    node_unref(handle->node, 1);
    (void)close(handle->fd);
    handle->node = NULL;
}

void tree_close(struct world *world)
{
    for (unsigned i = 0; i < HANDLES; i++)
        tree_close_handle(&world->handles[i]);
    node_unref(world->root, 1);
    world->root = NULL;
}

void tree_begin(struct world *world, struct place *place, struct rng *rng)
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
    tree_check(world);
}

void tree_end(struct world *world)
{
    tree_close(world);
    /* Every block of the session has been freed. */
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
