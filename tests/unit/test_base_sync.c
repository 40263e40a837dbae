#include "tests/unit/support.h"

#include <fcntl.h>

#include "fs/base/io.h"
#include "fs/base/sync.h"

enum { FILES = 300 };

static char names[FILES][16];
static const char *paths[FILES];

static void make_files(const struct place *place)
{
    for (size_t i = 0; i < FILES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "f%zu", i);
        paths[i] = names[i];
        place_write(place, names[i], "x", 1);
    }
}

static void test_any_number_of_paths(void **state)
{
    static const size_t counts[] = {0, 1, 7, 8, 9, 127, 128, FILES};
    size_t failed = 0;
    make_files(*state);
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
        const struct place *place = *state;
        io_fault_arm(1UL << 30, EIO, IO_FAULT_ONCE);
        CHECK_EQ(sync_paths(place->fd, paths, counts[i], &failed), 0);
        /* Each is opened, and synced. */
        CHECK_EQ(io_fault_count(), 2 * counts[i]);
        io_fault_arm(0, 0, IO_FAULT_ONCE);
    }
}

static void test_a_path_that_is_missing(void **state)
{
    const struct place *place = *state;
    size_t failed = 0;
    make_files(place);
    paths[200] = "missing";
    CHECK_EQ(sync_paths(place->fd, paths, FILES, &failed), -ENOENT);
    CHECK_EQ(failed, 200);
}

/* Whichever call fails, in whichever thread, it is an error. */
static void test_each_failure_is_reported(void **state)
{
    const struct place *place = *state;
    make_files(place);
    for (unsigned long nth = 1; nth <= 2UL * FILES; nth += 7) {
        size_t failed = FILES;
        io_fault_arm(nth, EIO, IO_FAULT_ONCE);
        CHECK_EQ(sync_paths(place->fd, paths, FILES, &failed), -EIO);
        CHECK(failed < FILES);
    }
    io_fault_arm(0, 0, IO_FAULT_ONCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_any_number_of_paths),
        TEST(test_a_path_that_is_missing),
        TEST(test_each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("base-sync", tests, NULL, NULL);
}
