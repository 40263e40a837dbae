/*
 * The bytes of a session's files against plain files: random calls on both, with recovery and
 * compaction at random moments; then single cases, limits and full disks.
 *
 * MINTFS_TEST_SEED=N runs one seed, and MINTFS_TEST_TRACE=1 prints each call.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/node.h"

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

static bool is_zero(const char *bytes, uint64_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* What a hole is differs between file systems, but there must be zeros in it. */
static void call_seek(struct world *world, struct file *file)
{
    uint64_t at = pick_offset(world, file);
    CHECK_EQ(io_pread(file->fd, world->theirs, file->size + 1, 0), file->size);
    for (int i = 0; i < 20; i++) {
        uint64_t data = 0;
        uint64_t hole = 0;
        int r = file_seek(file->node, at, SEEK_DATA, &data);
        if (at >= file->size) {
            CHECK_EQ(r, -ENXIO);
            CHECK_EQ(file_seek(file->node, at, SEEK_HOLE, &hole), -ENXIO);
            return;
        }
        if (r < 0) {
            CHECK_EQ(r, -ENXIO);
            CHECK(is_zero(world->theirs + at, file->size - at));
            CHECK_EQ(file_seek(file->node, at, SEEK_HOLE, &hole), 0);
            CHECK_EQ(hole, at);
            return;
        }
        CHECK(data >= at && data < file->size);
        CHECK(is_zero(world->theirs + at, data - at));
        CHECK_EQ(file_seek(file->node, data, SEEK_HOLE, &hole), 0);
        CHECK(hole > data && hole <= file->size);
        at = hole;
    }
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

/* ---- the session goes and comes ---- */

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
    CHECK_EQ(session_compact(node_session(world->root), true), 0);
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
    else if (kind < 970)
        call_seek(world, file);
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

static void test_against_plain_files(void **state)
{
    support_each_seed(20, run_file, *state);
}

/* ---- single cases ---- */

struct small {
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root;
};

static void small_begin(struct small *small, struct place *place)
{
    place_template(place, samples, ARRAY_LENGTH(samples), small->key);
    small->scratch = scratch_of(place);
    small->root = session_made(small->scratch, small->key, "s");
}

static void small_end(struct small *small)
{
    node_unref(small->root, 1);
    scratch_close(small->scratch);
}

/* The versions at 18 and 19 of an SQLite header say WAL, until the program says otherwise. */
static void test_starts_in_wal(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *node = node_there(small.root, "wal");
    char expected[100];
    AUTO_FREE char *whole = malloc(70001);
    CHECK(whole);
    sample_fill("wal", whole, 70001);
    memset(whole + 18, 2, 2);
    memcpy(expected, whole, sizeof(expected));
    for (uint64_t from = 0; from < 30; from++)
        for (size_t size = 0; size < 30; size++) {
            char bytes[30];
            CHECK_EQ(file_read(node, bytes, size, from), size);
            CHECK(!memcmp(bytes, expected + from, size));
        }
    CHECK_EQ(file_write(node, "x", 1, 4095), 0);
    whole[4095] = 'x';
    file_check(node, whole, 70001);
    CHECK_EQ(file_write(node, "\1\1", 2, 18), 0);
    memset(whole + 18, 1, 2);
    file_check(node, whole, 70001);
    node_unref(node, 1);
    node_unref(small.root, 1);
    scratch_close(small.scratch);
    small.scratch = scratch_of(*state);
    small.root = session_found(small.scratch, small.key, "s");
    node = node_there(small.root, "wal");
    file_check(node, whole, 70001);
    CHECK_EQ(file_truncate(node, 19), 0);
    CHECK_EQ(file_truncate(node, 25), 0);
    memset(whole + 19, 0, 6);
    file_check(node, whole, 25);
    node_unref(node, 1);
    node_unref(small.root, 1);

    /* Cut in the middle of them, before anything was written. */
    small.root = session_made(small.scratch, small.key, "t");
    node = node_there(small.root, "wal");
    sample_fill("wal", whole, 70001);
    whole[18] = 2;
    CHECK_EQ(file_truncate(node, 19), 0);
    CHECK_EQ(file_truncate(node, 21), 0);
    whole[19] = whole[20] = 0;
    file_check(node, whole, 21);
    node_unref(node, 1);
    small_end(&small);
}

/* What was cut off once never comes back, by whatever way the file grows again. */
static void test_what_is_cut_off_stays_away(void **state)
{
    struct small small;
    small_begin(&small, *state);
    AUTO_FREE char *expected = calloc(1, 1300001);
    CHECK(expected);
    for (int stored = 0; stored < 2; stored++) {
        for (int way = 0; way < 4; way++) {
            char id[8];
            support_context("stored %d, way %d", stored, way);
            (void)snprintf(id, sizeof(id), "t%d%d", stored, way);
            struct node *root = session_made(small.scratch, small.key, id);
            struct node *node = node_there(root, "large");
            if (stored)
                CHECK_EQ(file_allocate(node, 0, 0, 100000), 0);
            CHECK_EQ(file_truncate(node, 5001), 0);
            size_t size = 50001;
            memset(expected, 0, size + 1);
            sample_fill("large", expected, 1300001);
            memset(expected + 5001, 0, 1300001 - 5001);
            if (way == 0)
                CHECK_EQ(file_truncate(node, size), 0);
            else if (way == 1)
                CHECK_EQ(file_write(node, "", 1, size - 1), 0);
            else if (way == 2)
                CHECK_EQ(file_allocate(node, 0, 0, size), 0);
            else
                CHECK_EQ(file_allocate(node, FALLOC_FL_ZERO_RANGE, size - 10, 10), 0);
            file_check(node, expected, size);
            node_unref(node, 1);
            node_unref(root, 1);
        }
    }
    support_context("%s", "");
    small_end(&small);
}

/* Zeros over the template's bytes are holes, before and after a restart. */
static void test_holes(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *node = node_there(small.root, "large");
    AUTO_FREE char *expected = malloc(1300001);
    CHECK(expected);
    sample_fill("large", expected, 1300001);
    memset(expected + 5000, 0, 95000);
    CHECK_EQ(file_allocate(node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 95000), 0);
    for (int round = 0; round < 2; round++) {
        uint64_t at = 0;
        file_check(node, expected, 1300001);
        CHECK_EQ(file_seek(node, 0, SEEK_HOLE, &at), 0);
        CHECK_EQ(at, 8192);
        CHECK_EQ(file_seek(node, 8192, SEEK_DATA, &at), 0);
        CHECK_EQ(at, 98304);
        CHECK_EQ(file_seek(node, 98304, SEEK_HOLE, &at), 0);
        CHECK_EQ(at, 1300001);
        CHECK_EQ(file_seek(node, 1300001, SEEK_DATA, &at), -ENXIO);
        /* What a longer file has behind the template's end is a hole as well. */
        CHECK_EQ(file_truncate(node, 2000001), 0);
        CHECK_EQ(file_seek(node, 98304, SEEK_HOLE, &at), 0);
        CHECK_EQ(at, 1302528);
        CHECK_EQ(file_seek(node, at, SEEK_DATA, &at), -ENXIO);
        CHECK_EQ(file_truncate(node, 1300001), 0);
        node_unref(node, 1);
        node_unref(small.root, 1);
        scratch_close(small.scratch);
        small.scratch = scratch_of(*state);
        small.root = session_found(small.scratch, small.key, "s");
        node = node_there(small.root, "large");
    }
    node_unref(node, 1);
    small_end(&small);
}

static void test_what_is_refused(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *node = node_there(small.root, "large");
    CHECK_EQ(file_allocate(node, FALLOC_FL_PUNCH_HOLE, 0, 10), -EOPNOTSUPP);
    CHECK_EQ(file_allocate(node, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(file_allocate(node, FALLOC_FL_INSERT_RANGE, 0, 4096), -EOPNOTSUPP);
    CHECK_EQ(file_allocate(node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE, 0, 1), -EOPNOTSUPP);
    CHECK_EQ(file_allocate(node, 0, 5, 0), -EINVAL);
    CHECK_EQ(file_allocate(node, 0, FILE_SIZE_LIMIT_BYTES, 1), -EFBIG);
    CHECK_EQ(file_allocate(node, 0, UINT64_MAX, UINT64_MAX), -EFBIG);
    CHECK_EQ(file_write(node, "x", 1, FILE_SIZE_LIMIT_BYTES), -EFBIG);
    CHECK_EQ(file_write(node, "x", 1, UINT64_MAX), -EFBIG);
    CHECK_EQ(file_truncate(node, FILE_SIZE_LIMIT_BYTES + 1), -EFBIG);
    struct stat to = {.st_size = -1};
    CHECK(node_set(node, &to, NODE_SET_SIZE) < 0);
    CHECK_EQ(node_set(small.root, &to, NODE_SET_SIZE), -EISDIR);
    CHECK_EQ(file_write(node, "x", 0, FILE_SIZE_LIMIT_BYTES), 0);
    CHECK_EQ(session_bytes(node_session(node)), 0);
    node_unref(node, 1);
    small_end(&small);
}

/* Nothing takes the time or the memory of what is not there. */
static void test_the_largest_file(void **state)
{
    struct small small;
    small_begin(&small, *state);
    const uint64_t size = FILE_SIZE_LIMIT_BYTES;
    struct node *node = node_there(small.root, "large");
    for (int round = 0; round < 2; round++) {
        uint64_t at = 0;
        char bytes[20];
        CHECK_EQ(file_truncate(node, 0), 0);
        CHECK_EQ(file_truncate(node, size), 0);
        CHECK_EQ(file_seek(node, 0, SEEK_DATA, &at), -ENXIO);
        CHECK_EQ(file_write(node, "the end", 7, size - 7), 0);
        CHECK_EQ(file_seek(node, 0, SEEK_DATA, &at), 0);
        CHECK_EQ(at, size - BLOCK_SIZE_BYTES);
        CHECK_EQ(file_seek(node, at, SEEK_HOLE, &at), 0);
        CHECK_EQ(at, size);
        CHECK_EQ(file_allocate(node, FALLOC_FL_ZERO_RANGE, 1, size - 8), 0);
        CHECK_EQ(file_read(node, bytes, sizeof(bytes), size - 10), 10);
        CHECK(!memcmp(bytes, "\0\0\0the end", 10));
        CHECK_EQ(session_bytes(node_session(node)), BLOCK_SIZE_BYTES);
        CHECK_EQ(session_compact(node_session(node), true), 0);
        node_unref(node, 1);
        node_unref(small.root, 1);
        scratch_close(small.scratch);
        small.scratch = scratch_of(*state);
        small.root = session_found(small.scratch, small.key, "s");
        node = node_there(small.root, "large");
        CHECK_EQ(file_read(node, bytes, sizeof(bytes), size - 10), 10);
        CHECK(!memcmp(bytes, "\0\0\0the end", 10));
        CHECK_EQ(file_allocate(node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), 0);
        CHECK_EQ(session_bytes(node_session(node)), 0);
        CHECK_EQ(file_seek(node, 0, SEEK_DATA, &at), -ENXIO);
    }
    node_unref(node, 1);
    small_end(&small);
}

/* One page of a large template costs one block, and a few bytes of the log. */
static void test_one_page_costs_one_block(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *node = node_there(small.root, "large");
    char page[4096] = "page";
    CHECK_EQ(file_write(node, page, sizeof(page), 40960), 0);
    CHECK_EQ(session_bytes(node_session(node)), 4096);
    CHECK_EQ(file_write(node, page, sizeof(page), 40960), 0);
    CHECK_EQ(session_bytes(node_session(node)), 4096);
    CHECK_EQ(file_write(node, page, 2, 81919), 0);
    CHECK_EQ(session_bytes(node_session(node)), 12288);
    node_unref(node, 1);
    small_end(&small);
}

/* ---- no room ---- */

/* A file and what must be in it: calls that fail for want of room leave it as it was. */
struct mirrored {
    struct node *node;
    char *bytes; /* LARGE of them */
    size_t size;
};

static bool mirrored_write(struct mirrored *file, struct rng *rng, int expected)
{
    char bytes[40000];
    size_t size = 1 + rng_below(rng, rng_chance(rng, 50) ? 5000 : sizeof(bytes));
    size_t offset = rng_below(rng, 300000);
    rng_fill(rng, bytes, size);
    int r = file_write(file->node, bytes, size, offset);
    if (r != 0)
        CHECK_EQ(r, expected);
    if (r == 0) {
        memcpy(file->bytes + offset, bytes, size);
        if (offset + size > file->size)
            file->size = offset + size;
    }
    file_check(file->node, file->bytes, file->size);
    return r == 0;
}

static void mirrored_begin(struct mirrored *file, struct node *root, const char *name)
{
    file->node = node_there(root, name);
    file->bytes = calloc(1, LARGE);
    CHECK(file->bytes);
    struct stat status;
    node_stat(file->node, &status);
    file->size = (size_t)status.st_size;
    sample_fill(name, file->bytes, file->size);
}

static void mirrored_end(struct mirrored *file)
{
    node_unref(file->node, 1);
    free(file->bytes);
}

static void run_limited(struct rng *rng, void *context)
{
    struct place *place = context;
    enum { LIMIT = 200000, LIMIT_BLOCKS = (LIMIT + 4095) / 4096 };
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch = NULL;
    place_template(place, samples, ARRAY_LENGTH(samples), key);
    CHECK_EQ(scratch_open(place->store, &(struct scratch_options){.session_limit_bytes = LIMIT},
                          &scratch),
             0);
    struct node *root = session_made(scratch, key, "s");
    struct mirrored file;
    mirrored_begin(&file, root, "large");
    unsigned failed = 0;
    for (int i = 0; i < 60; i++) {
        failed += !mirrored_write(&file, rng, -ENOSPC);
        CHECK(session_bytes(node_session(root)) <= (uint64_t)LIMIT_BLOCKS * 4096);
    }
    CHECK(failed > 0);
    /* What goes makes room, and the limit holds after a restart. */
    CHECK_EQ(file_truncate(file.node, 0), 0);
    file.size = 0;
    memset(file.bytes, 0, LARGE);
    CHECK_EQ(session_bytes(node_session(root)), 0);
    AUTO_FREE char *much = calloc(1, (size_t)LIMIT_BLOCKS * 4096 + 1);
    CHECK(much);
    CHECK_EQ(file_write(file.node, much, (size_t)LIMIT_BLOCKS * 4096 + 1, 0), -ENOSPC);
    CHECK_EQ(file_write(file.node, much, (size_t)LIMIT_BLOCKS * 4096, 0), 0);
    CHECK_EQ(file_write(file.node, much, 1, (size_t)LIMIT_BLOCKS * 4096), -ENOSPC);
    mirrored_end(&file);
    node_unref(root, 1);
    CHECK_EQ(scratch_session_discard(scratch, key, "s"), 0);
    scratch_close(scratch);
}

static void test_limit_of_a_session(void **state)
{
    support_each_seed(5, run_limited, *state);
}

/* In a small tmpfs of its own. */
static void fill_disk(void *context)
{
    struct place *place = context;
    char key[SHA256_HEX_LENGTH + 1];
    char path[256];
    place_template(place, samples, ARRAY_LENGTH(samples), key);
    if (!support_own_mounts())
        _exit(SKIPPED);
    (void)snprintf(path, sizeof(path), "%s/small", place->path);
    CHECK_EQ(mkdir(path, 0700), 0);
    if (mount("none", path, "tmpfs", 0, "size=400k") < 0)
        _exit(SKIPPED);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        support_context("seed %d", (int)seed);
        struct rng rng = {.state = seed};
        struct scratch_options options = {.place = path};
        struct scratch *scratch = NULL;
        CHECK_EQ(scratch_open(place->store, &options, &scratch), 0);
        struct node *root = session_made(scratch, key, "s");
        struct node *other = session_made(scratch, key, "other");
        struct mirrored file;
        struct mirrored bystander;
        mirrored_begin(&file, root, "large");
        mirrored_begin(&bystander, other, "wal");
        memset(bystander.bytes + 18, 2, 2);
        unsigned failed = 0;
        for (int i = 0; i < 150; i++)
            failed += !mirrored_write(i % 4 ? &file : &bystander, &rng, -ENOSPC);
        CHECK(failed > 20);
        /* Names can go on a full disk, and what they take with them makes room again. */
        CHECK_EQ(session_unlink(root, "wal"), 0);
        node_unref(root, 1);
        mirrored_end(&file);
        CHECK_EQ(scratch_session_discard(scratch, key, "s"), 0);
        file_check(bystander.node, bystander.bytes, bystander.size);
        node_unref(bystander.node, 1);
        node_unref(other, 1);
        scratch_close(scratch);

        CHECK_EQ(scratch_open(place->store, &options, &scratch), 0);
        other = session_found(scratch, key, "other");
        bystander.node = node_there(other, "wal");
        file_check(bystander.node, bystander.bytes, bystander.size);
        unsigned written = 0;
        for (int i = 0; i < 5; i++)
            written += mirrored_write(&bystander, &rng, -ENOSPC);
        CHECK(written > 0);
        mirrored_end(&bystander);
        node_unref(other, 1);
        CHECK_EQ(scratch_session_discard(scratch, key, "other"), 0);
        scratch_close(scratch);
    }
    store_close(place->store);
}

static void test_full_disk(void **state)
{
    support_skip_or_check(support_in_child(fill_disk, *state),
                          "not allowed to mount: neither root nor a user name space");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_against_plain_files),
        TEST(test_starts_in_wal),
        TEST(test_what_is_cut_off_stays_away),
        TEST(test_holes),
        TEST(test_what_is_refused),
        TEST(test_the_largest_file),
        TEST(test_one_page_costs_one_block),
        TEST(test_limit_of_a_session),
        TEST(test_full_disk),
    };
    return cmocka_run_group_tests_name("overlay-file", tests, NULL, NULL);
}
