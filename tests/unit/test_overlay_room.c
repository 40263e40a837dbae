/*
 * Covers extents, file_store and session_log: a session's limit, and a full disk. A call that fails
 * for lack of space leaves its file unchanged, and removals free space again.
 */
#include "tests/unit/support.h"

#include <sys/mount.h>

#include "fs/overlay/overlay_internal.h"
#include "fs/store/store_open.h"

enum { LARGE = 3 << 20 };

static const struct sample samples[] = {
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 1300001},
    {.path = "wal", .type = ENTRY_FILE, .mode = 0644, .size = 70001, .wal = true},
    {.path = "empty", .type = ENTRY_FILE, .mode = 0644},
};

/* A file and its expected content: calls that fail for lack of space leave it unchanged. */
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
    /* Removals free space, and the limit holds after a restart. */
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

static void test_a_write_past_the_limit_leaves_the_file_unchanged(void **state)
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
        /* Names can be removed on a full disk, which frees the space of their files. */
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

static void test_removals_work_on_a_full_disk(void **state)
{
    support_skip_or_check(support_in_child(fill_disk, *state),
                          "not allowed to mount: neither root nor a user name space");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_write_past_the_limit_leaves_the_file_unchanged),
        TEST(test_removals_work_on_a_full_disk),
    };
    return cmocka_run_group_tests_name("overlay-room", tests, NULL, NULL);
}
