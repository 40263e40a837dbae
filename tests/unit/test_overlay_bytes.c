/*
 * Covers file_io, file_store, file_content, fallocate and attributes: random calls on files of a
 * session and on plain files, with recovery and compaction at random moments.
 *
 * MINTFS_TEST_SEED=N runs one seed, and MINTFS_TEST_TRACE=1 prints each call.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "fs/base/io.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

enum { FILES = 4, LARGE = 3 << 20, SMALL = 200000, CALLS = 10000 };

static const struct {
    const char *name;
    size_t limit; /* calls stay below it */
} files[FILES] = {{"large", LARGE}, {"wal", SMALL}, {"empty", SMALL}, {"new", SMALL}};

static const struct sample samples[] = {
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 1300001},
    {.path = "wal", .type = ENTRY_FILE, .mode = 0644, .size = 70001, .wal = true},
    {.path = "empty", .type = ENTRY_FILE, .mode = 0644},
};

struct file {
    struct node *node;
    int fd; /* of the plain file */
    uint64_t size;
    size_t limit;
    bool open;
};

struct world {
    struct place *place;
    struct rng *rng;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root;
    struct file files[FILES];
    char *ours;   /* LARGE bytes and more */
    char *theirs; /* the same */
    bool trace;
};

/* ---- comparing ---- */

static void compare(const struct world *world, const struct file *file, uint64_t offset,
                    size_t size)
{
    ssize_t ours = file_read(file->node, world->ours, size, offset);
    ssize_t theirs = io_pread(file->fd, world->theirs, size, (off_t)offset);
    CHECK_EQ(ours, theirs);
    if (memcmp(world->ours, world->theirs, (size_t)ours) == 0)
        return;
    for (ssize_t i = 0; i < ours; i++)
        if (world->ours[i] != world->theirs[i])
            support_fail(__FILE__, __LINE__, "byte %llu of %s: %02x, not %02x",
                         (unsigned long long)offset + (unsigned long long)i,
                         files[file - world->files].name, (unsigned char)world->ours[i],
                         (unsigned char)world->theirs[i]);
}

static void compare_all(const struct world *world)
{
    for (int i = 0; i < FILES; i++) {
        struct stat status;
        node_stat(world->files[i].node, &status);
        CHECK_EQ(status.st_size, world->files[i].size);
        compare(world, &world->files[i], 0, world->files[i].size + 1);
    }
}

/* ---- the calls ---- */

static uint64_t pick_offset(struct world *world, const struct file *file)
{
    uint64_t offset;
    switch (rng_below(world->rng, 5)) {
    case 0: /* around the end */
        offset = file->size + rng_below(world->rng, 9000);
        offset = offset > 4500 ? offset - 4500 : 0;
        break;
    case 1: /* around a block's edge */
        offset = rng_below(world->rng, file->limit / BLOCK_SIZE_BYTES) * BLOCK_SIZE_BYTES;
        offset += rng_below(world->rng, 5);
        offset = offset > 2 ? offset - 2 : 0;
        break;
    case 2: /* where a database is busy */
        offset = rng_below(world->rng, 20000);
        break;
    default:
        offset = rng_below(world->rng, file->limit);
        break;
    }
    return offset < file->limit ? offset : file->limit - 1;
}

static size_t pick_size(struct world *world, const struct file *file, uint64_t offset)
{
    size_t size;
    switch (rng_below(world->rng, 6)) {
    case 0:
        size = 1 + rng_below(world->rng, 100);
        break;
    case 1:
        size = BLOCK_SIZE_BYTES * (1 + rng_below(world->rng, 4));
        break;
    case 2:
        size = 1 + rng_below(world->rng, rng_chance(world->rng, 5) ? 300000 : 20000);
        break;
    default:
        size = 1 + rng_below(world->rng, 9000);
        break;
    }
    return size < file->limit - offset ? size : file->limit - offset;
}

static void call_write(struct world *world, struct file *file)
{
    uint64_t offset = pick_offset(world, file);
    size_t size = pick_size(world, file, offset);
    rng_fill(world->rng, world->ours, size);
    CHECK_EQ(file_write(file->node, world->ours, size, offset), 0);
    CHECK_EQ(io_pwrite(file->fd, world->ours, size, (off_t)offset), 0);
    if (offset + size > file->size)
        file->size = offset + size;
    if (world->trace)
        (void)fprintf(stderr, "write %zu at %llu\n", size, (unsigned long long)offset);
}

static void call_truncate(struct world *world, struct file *file)
{
    uint64_t size = pick_offset(world, file);
    if (rng_chance(world->rng, 10))
        size = 0;
    else if (rng_chance(world->rng, 30))
        size = size / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
    CHECK_EQ(file_truncate(file->node, size), 0);
    CHECK_EQ(io_ftruncate(file->fd, (off_t)size), 0);
    file->size = size;
    if (world->trace)
        (void)fprintf(stderr, "truncate to %llu\n", (unsigned long long)size);
}

/* Where the file system of the plain file cannot, by hand. */
static void zero_plain(const struct world *world, struct file *file, int mode, uint64_t offset,
                       size_t size)
{
    uint64_t end = offset + size;
    if (io_fallocate(file->fd, mode, (off_t)offset, (off_t)size) == 0)
        return;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > file->size)
        CHECK_EQ(io_ftruncate(file->fd, (off_t)end), 0);
    if (!(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
        return;
    uint64_t stop = mode & FALLOC_FL_KEEP_SIZE && end > file->size ? file->size : end;
    memset(world->theirs, 0, size);
    if (offset < stop)
        CHECK_EQ(io_pwrite(file->fd, world->theirs, stop - offset, (off_t)offset), 0);
}

static void call_allocate(struct world *world, struct file *file)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[rng_below(world->rng, ARRAY_LENGTH(modes))];
    uint64_t offset = pick_offset(world, file);
    size_t size = pick_size(world, file, offset);
    CHECK_EQ(file_allocate(file->node, mode, offset, size), 0);
    zero_plain(world, file, mode, offset, size);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + size > file->size)
        file->size = offset + size;
    if (world->trace)
        (void)fprintf(stderr, "allocate %x %zu at %llu\n", mode, size, (unsigned long long)offset);
}

static void call_read(struct world *world, const struct file *file)
{
    uint64_t offset = pick_offset(world, file);
    compare(world, file, offset, pick_size(world, file, offset));
}

static void call_open(struct world *world, struct file *file)
{
    if (file->open)
        file_close(file->node);
    else
        CHECK_EQ(file_open(file->node), 0);
    file->open = !file->open;
    (void)world;
}

/* ---- closing, killing and recovering ---- */

static void find_files(struct world *world)
{
    for (int i = 0; i < FILES; i++) {
        world->files[i].node = node_there(world->root, files[i].name);
        world->files[i].open = false;
    }
}

static void leave_files(struct world *world)
{
    for (int i = 0; i < FILES; i++) {
        if (world->files[i].open)
            file_close(world->files[i].node);
        node_unref(world->files[i].node, 1);
    }
}

static void reopen(struct world *world)
{
    if (world->trace)
        (void)fprintf(stderr, "reopen\n");
    uint64_t bytes = session_bytes(node_session(world->root));
    leave_files(world);
    node_unref(world->root, 1);
    scratch_close(world->scratch);
    world->scratch = scratch_of(world->place);
    world->root = session_found(world->scratch, world->key, "s");
    CHECK_EQ(session_bytes(node_session(world->root)), bytes);
    find_files(world);
    compare_all(world);
}

static void compact(struct world *world)
{
    CHECK_EQ(session_rewrite_log(node_session(world->root)), 0);
}

/* ---- running ---- */

static void begin_world(struct world *world, struct place *place, struct rng *rng)
{
    *world = (struct world){.place = place, .rng = rng};
    world->trace = getenv("MINTFS_TEST_TRACE");
    world->ours = malloc(LARGE + 1);
    world->theirs = malloc(LARGE + 1);
    CHECK(world->ours && world->theirs);
    place_template(place, samples, ARRAY_LENGTH(samples), world->key);
    world->scratch = scratch_of(place);
    world->root = session_made(world->scratch, world->key, "s");
    node_unref(file_made(world->root, "new"), 1);
    find_files(world);
    for (int i = 0; i < FILES; i++) {
        struct file *file = &world->files[i];
        file->limit = files[i].limit;
        file->size = i < (int)ARRAY_LENGTH(samples) ? samples[i].size : 0;
        /* In memory, to spare the disk. */
        file->fd = memfd_create(files[i].name, MFD_CLOEXEC);
        CHECK(file->fd >= 0);
        sample_fill(files[i].name, world->theirs, file->size);
        if (!strcmp(files[i].name, "wal"))
            memset(world->theirs + 18, 2, 2);
        CHECK_EQ(io_pwrite(file->fd, world->theirs, file->size, 0), 0);
    }
    compare_all(world);
}

static void end_world(struct world *world)
{
    leave_files(world);
    node_unref(world->root, 1);
    CHECK_EQ(scratch_session_discard(world->scratch, world->key, "s"), 0);
    struct scratch_counts counts;
    scratch_count(world->scratch, &counts);
    CHECK_EQ(counts.stored_bytes, 0);
    scratch_close(world->scratch);
    for (int i = 0; i < FILES; i++)
        (void)close(world->files[i].fd);
    free(world->ours);
    free(world->theirs);
}

static void step(struct world *world)
{
    struct file *file = &world->files[rng_below(world->rng, FILES)];
    uint64_t kind = rng_below(world->rng, 1000);
    if (kind < 400)
        call_write(world, file);
    else if (kind < 750)
        call_read(world, file);
    else if (kind < 800)
        call_truncate(world, file);
    else if (kind < 950)
        call_allocate(world, file);
    else if (kind < 996)
        call_open(world, file);
    else if (kind < 998)
        compact(world);
    else if (kind < 999)
        reopen(world);
    else
        compare_all(world);
}

static void run_file(struct rng *rng, void *context)
{
    uint64_t seed = rng->state;
    struct world world;
    begin_world(&world, context, rng);
    for (int i = 0; i < CALLS; i++) {
        support_context("MINTFS_TEST_SEED=%llu, call %d", (unsigned long long)seed, i);
        step(&world);
    }
    compare_all(&world);
    reopen(&world);
    compact(&world);
    reopen(&world);
    end_world(&world);
}

static void test_files_behave_like_plain_files(void **state)
{
    support_each_seed(20, run_file, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_behave_like_plain_files),
    };
    return cmocka_run_group_tests_name("overlay-bytes", tests, NULL, NULL);
}
