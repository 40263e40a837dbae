/*
 * Covers owners, blocks and session_replay: logs that name blocks of other sessions, and damaged
 * storage. See also test_overlay_drill.c.
 */
#include "tests/unit/support_scratch.h"

#include <fcntl.h>
#include <zlib.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/overlay_internal.h"

/*
 * An old copy of a log names blocks that were given to another session since. It is the damaged
 * one, whichever comes first, and the other keeps its bytes.
 */
static void test_an_old_log_claims_no_blocks_of_others(void **state)
{
    static const char *const orders[][2] = {{"old", "other"}, {"other", "old"}};
    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
        struct world world;
        world_begin(&world, *state);
        node_unref(session_made(world.scratch, world.key, orders[i][0]), 1);
        node_unref(session_made(world.scratch, world.key, orders[i][1]), 1);
        struct node *root = session_found(world.scratch, world.key, "old");
        struct node *node = file_made(root, "mine");
        CHECK_EQ(file_write(node, "secret-of-old", 13, 0), 0);
        node_unref(node, 1);
        char name[32];
        size_t size;
        log_name(name, serial_of(&world, "old"));
        char *kept = NULL;
        CHECK_EQ(dir_read_file(world.logs_fd, name, 1 << 20, &kept, &size), 0);
        AUTO_FREE char *bytes = kept;
        CHECK_EQ(session_unlink(root, "mine"), 0);
        node_unref(root, 1);
        root = session_found(world.scratch, world.key, "other");
        node = file_made(root, "theirs");
        CHECK_EQ(file_write(node, "secret-of-other", 15, 0), 0);
        node_unref(node, 1);
        node_unref(root, 1);
        CHECK_EQ(stored_bytes(&world), 4096);
        scratch_close(world.scratch);
        CHECK_EQ(dir_write_file(world.logs_fd, name, bytes, size, 0600), 0);
        AUTO_FREE char *logged = world_open_logged(&world);
        CHECK(strstr(logged, name) && strstr(logged, "an older copy of itself"));
        check_listing(&world, "other ");
        root = session_found(world.scratch, world.key, "other");
        node = node_there(root, "theirs");
        file_check(node, "secret-of-other", 15);
        node_unref(node, 1);
        node_unref(root, 1);
        discard(&world, "other");
        world_end(&world);
    }
}

/* Reading a block fails if its bytes are lost, or are those of another block. */
static void test_damaged_storage_is_reported_and_not_read(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    make_marked(&world, "b", "mark-b");
    scratch_close(world.scratch);
    AUTO_FD int fd = openat(world.place->store->sessions_fd, "blocks", O_RDWR | O_CLOEXEC);
    char other[BLOCK_SIZE_BYTES];
    CHECK_EQ(io_pread_exact(fd, other, sizeof(other), BLOCK_SIZE_BYTES), 0);
    CHECK_EQ(io_pwrite(fd, other, sizeof(other), 0), 0);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(!strcmp(logged, ""));
    check_marked(&world, "b", "mark-b");
    struct node *root = session_found(world.scratch, world.key, "a");
    struct node *node = node_there(root, "large");
    char bytes[BLOCK_SIZE_BYTES];
    stderr_capture();
    CHECK_EQ(file_read(node, bytes, 6, 50000), -EIO);
    CHECK_EQ(file_read(node, bytes, 6, 50000), -EIO);
    CHECK_EQ(file_write(node, "part", 4, 50000), -EIO);
    AUTO_FREE char *said_then = stderr_captured();
    CHECK(strstr(said_then, "session a of template") &&
          strstr(said_then, "mintfs session reset a"));
    CHECK_EQ(strchr(said_then, '\n') - said_then, (long)strlen(said_then) - 1);
    /* A whole block that is written is good again. */
    memset(bytes, 'g', sizeof(bytes));
    CHECK_EQ(file_write(node, bytes, sizeof(bytes), 49152), 0);
    CHECK_EQ(file_read(node, bytes, 6, 50000), 6);
    CHECK_EQ(memcmp(bytes, "gggggg", 6), 0);
    node_unref(node, 1);
    node_unref(root, 1);
    world_end(&world);
}

/* The table of owners: of a later version it is refused, cut it takes its sessions with it. */
static void test_a_damaged_table_is_survived(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    node_unref(session_made(world.scratch, world.key, "empty"), 1);
    scratch_close(world.scratch);
    AUTO_FD int fd = openat(world.place->store->sessions_fd, "owners", O_RDWR | O_CLOEXEC);
    uint32_t words[2];
    uint32_t later[2];
    CHECK_EQ(io_pread_exact(fd, words, sizeof(words), 0), 0);
    memcpy(later, "mfo2", 4);
    later[1] = (uint32_t)crc32(0, (const void *)later, 4);
    CHECK_EQ(io_pwrite(fd, later, sizeof(later), 0), 0);
    struct scratch *refused = NULL;
    stderr_capture();
    CHECK_EQ(scratch_open(world.place->store, &(struct scratch_options){0}, &refused),
             -EPROTONOSUPPORT);
    AUTO_FREE char *logged = stderr_captured();
    CHECK(strstr(logged, "owners was written by a later mintfs"));
    /* A damaged header alone does no harm. */
    later[1]++;
    CHECK_EQ(io_pwrite(fd, later, sizeof(later), 0), 0);
    AUTO_FREE char *said_then = world_open_logged(&world);
    CHECK(strstr(said_then, "lost its header"));
    check_marked(&world, "a", "mark-a");
    scratch_close(world.scratch);
    CHECK_EQ(io_ftruncate(fd, 30), 0);
    AUTO_FREE char *said_at_last = world_open_logged(&world);
    CHECK(strstr(said_at_last, "damaged"));
    check_listing(&world, "empty ");
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_old_log_claims_no_blocks_of_others),
        TEST(test_damaged_storage_is_reported_and_not_read),
        TEST(test_a_damaged_table_is_survived),
    };
    return cmocka_run_group_tests_name("overlay-owners", tests, NULL, NULL);
}
