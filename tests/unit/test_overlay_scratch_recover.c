/*
 * Sessions whose recovery fails are not lost: they exist again when it succeeds.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "tests/unit/support_scratch.h"

static void limit_open_files(rlim_t count)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void check_both(const struct world *world)
{
    check_marked(world, "one", "1");
    check_marked(world, "two", "2");
}

static void close_world(struct world *world)
{
    scratch_close(world->scratch);
    world->scratch = NULL;
}

/* One descriptor more each time, until there are enough. */
static void test_too_few_descriptors_lose_no_session(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "one", "1");
    make_marked(&world, "two", "2");
    close_world(&world);
    struct rlimit before;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct scratch_options options = {.name_lost = NULL};
    AUTO_FD int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    unsigned failures = 0;
    int r = -1;
    for (rlim_t count = (rlim_t)first + 1; r < 0; count++) {
        support_context("with %ju descriptors", (uintmax_t)count);
        stderr_capture();
        limit_open_files(count);
        r = scratch_open(world.place->store, &options, &world.scratch);
        limit_open_files(before.rlim_cur);
        AUTO_FREE char *logged = stderr_captured();
        CHECK(r == 0 || r == -EMFILE);
        if ((r < 0) != (strstr(logged, strerror(EMFILE)) != NULL))
            support_fail(__FILE__, __LINE__, "%d, and it logged: %s", r, logged);
        if (r < 0) {
            failures++;
            CHECK_EQ(scratch_open(world.place->store, &options, &world.scratch), 0);
        }
        check_both(&world);
        close_world(&world);
    }
    CHECK(failures > 3);
    world_reopen(&world);
    check_both(&world);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_too_few_descriptors_lose_no_session),
    };
    return cmocka_run_group_tests_name("overlay-scratch-recover", tests, NULL, NULL);
}
