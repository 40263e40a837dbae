/*
 * Single cases of a session's files: the header of a database in WAL mode, truncation and holes,
 * what is refused, the largest file, and the cost of one page.
 */
#include "tests/unit/support.h"

#include <linux/falloc.h>

#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

static const struct sample samples[] = {
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 1300001},
    {.path = "wal", .type = ENTRY_FILE, .mode = 0644, .size = 70001, .wal = true},
    {.path = "empty", .type = ENTRY_FILE, .mode = 0644},
};

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

/*
 * The versions at 18 and 19 of an SQLite header are those of WAL, until the program changes them.
 */
static void test_a_database_starts_in_wal_mode(void **state)
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

/* Bytes that were cut off never reappear, however the file grows again. */
static void test_bytes_that_were_cut_off_do_not_reappear(void **state)
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

/* Zeros over the template's bytes cost nothing, but for the hole's ends; also after a restart. */
static void test_holes_read_as_zeros(void **state)
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
        file_check(node, expected, 1300001);
        CHECK_EQ(session_bytes(node_session(node)), 2 * BLOCK_SIZE_BYTES);
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

static void test_invalid_ranges_are_refused(void **state)
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

/* Holes cost neither time nor memory. */
static void test_a_file_can_be_as_large_as_the_limit(void **state)
{
    struct small small;
    small_begin(&small, *state);
    const uint64_t size = FILE_SIZE_LIMIT_BYTES;
    struct node *node = node_there(small.root, "large");
    for (int round = 0; round < 2; round++) {
        char bytes[20];
        CHECK_EQ(file_truncate(node, 0), 0);
        CHECK_EQ(file_truncate(node, size), 0);
        CHECK_EQ(file_write(node, "the end", 7, size - 7), 0);
        CHECK_EQ(file_allocate(node, FALLOC_FL_ZERO_RANGE, 1, size - 8), 0);
        CHECK_EQ(file_read(node, bytes, sizeof(bytes), size - 10), 10);
        CHECK(!memcmp(bytes, "\0\0\0the end", 10));
        CHECK_EQ(session_bytes(node_session(node)), BLOCK_SIZE_BYTES);
        CHECK_EQ(session_rewrite_log(node_session(node)), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_database_starts_in_wal_mode),
        TEST(test_bytes_that_were_cut_off_do_not_reappear),
        TEST(test_holes_read_as_zeros),
        TEST(test_invalid_ranges_are_refused),
        TEST(test_a_file_can_be_as_large_as_the_limit),
        TEST(test_one_page_costs_one_block),
    };
    return cmocka_run_group_tests_name("overlay-file", tests, NULL, NULL);
}
