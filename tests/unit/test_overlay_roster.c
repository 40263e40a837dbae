/*
 * Covers roster and sessions_at_rest: commands read the roster, and the logs only if it is not
 * valid.
 */
#include "tests/unit/support_scratch.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/sessions_at_rest.h"

enum { SESSIONS = 50 };

struct listing {
    const struct world *world;
    unsigned count;
    unsigned others; /* not of the sessions that make_sessions() makes */
};

static int count_one(const struct session_at_rest *session, void *context)
{
    struct listing *listing = context;
    bool known = !strcmp(session->key, listing->world->key) && session->id[0] == 's';
    listing->count++;
    listing->others += !known;
    return 0;
}

/* Lists the sessions at rest; returns how many calls that took through the I/O seam. */
static unsigned long list(const struct world *world, unsigned expected)
{
    struct listing listing = {.world = world};
    io_fault_arm(0, -1, IO_FAULT_FROM_THEN_ON); /* only counts */
    CHECK_EQ(sessions_each_id_at_rest(world->place->store, count_one, &listing), 0);
    CHECK_EQ(listing.count, expected);
    unsigned long calls = io_fault_count();
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    CHECK_EQ(listing.others, 0);
    return calls;
}

static void make_sessions(const struct world *world)
{
    for (int i = 0; i < SESSIONS; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "s%d", i);
        node_unref(session_made(world->scratch, world->key, id), 1);
    }
}

static void test_many_sessions_cost_as_much_as_one(void **state)
{
    struct world world;
    world_begin(&world, *state);
    node_unref(session_made(world.scratch, world.key, "s-first"), 1);
    CHECK_EQ(
        scratch_session_rename(world.scratch, world.key, "s-first", "s-renamed", RENAME_NOREPLACE),
        0);
    list(&world, 0); /* a daemon has it open */
    scratch_close(world.scratch);
    unsigned long of_one = list(&world, 1);
    world.scratch = scratch_of(world.place);
    make_sessions(&world);
    scratch_close(world.scratch);
    CHECK_EQ(list(&world, SESSIONS + 1), of_one);
    CHECK(of_one < SESSIONS);

    world.scratch = scratch_of(world.place);
    for (int i = 0; i < SESSIONS; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "s%d", i);
        discard(&world, id);
    }
    discard(&world, "s-renamed");
    scratch_close(world.scratch);
    list(&world, 0);
    world.scratch = scratch_of(world.place);
    world_end(&world);
}

static void change(const struct world *world, const char *from, const char *to)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    int fd = world->place->store->sessions_fd;
    CHECK_EQ(dir_read_file(fd, "roster", 1 << 20, &text, &size), 0);
    char *at = strstr(text, from);
    CHECK(at && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
    CHECK_EQ(dir_write_file(fd, "roster", text, size, 0600), 0);
}

/* Then the logs tell: of a killed daemon, of one by hand, and of damage. */
static void test_an_invalid_roster_is_ignored(void **state)
{
    struct world world;
    world_begin(&world, *state);
    int fd = world.place->store->sessions_fd;
    make_sessions(&world);
    scratch_close(world.scratch);
    unsigned long from_roster = list(&world, SESSIONS);

    change(&world, " s7 ", " x7 ");
    CHECK(list(&world, SESSIONS) > from_roster + SESSIONS);
    change(&world, " x7 ", " s7 ");
    CHECK_EQ(list(&world, SESSIONS), from_roster);

    char name[32];
    log_name(name, 3);
    CHECK_EQ(unlinkat(world.logs_fd, name, 0), 0);
    list(&world, SESSIONS - 1);

    world.scratch = scratch_of(world.place);
    scratch_close(world.scratch);
    CHECK_EQ(list(&world, SESSIONS - 1), from_roster);
    CHECK_EQ(unlinkat(fd, "roster", 0), 0);
    CHECK(list(&world, SESSIONS - 1) > from_roster + SESSIONS);
    CHECK_EQ(dir_write_file(fd, "roster", "mintfs-roster-1 ", 16, 0600), 0);
    list(&world, SESSIONS - 1);

    /* A daemon that has the scratch open has no roster there, in case that it is killed. */
    world.scratch = scratch_of(world.place);
    CHECK(faccessat(fd, "roster", F_OK, 0) < 0);
    world_end(&world);
}

/* A log that was cut between two frames looks whole, but the roster has its length. */
static void test_a_truncated_log_is_reported(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "whole", "mark-whole");
    struct node *root = session_made(world.scratch, world.key, "cut");
    char name[32];
    struct stat status;
    log_name(name, serial_of(&world, "cut"));
    CHECK_EQ(fstatat(world.logs_fd, name, &status, 0), 0);
    node_unref(file_made(root, "lost"), 1);
    node_unref(root, 1);
    scratch_close(world.scratch);
    AUTO_FD int fd = openat(world.logs_fd, name, O_WRONLY | O_CLOEXEC);
    CHECK_EQ(io_ftruncate(fd, status.st_size), 0);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(strstr(logged, name) && strstr(logged, "the session cut has lost its last changes"));
    CHECK_EQ(strchr(logged, '\n') - logged, (long)strlen(logged) - 1);
    AUTO_FREE char *logged_again = world_reopen_logged(&world);
    CHECK(!strcmp(logged_again, ""));
    check_marked(&world, "whole", "mark-whole");
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_sessions_cost_as_much_as_one),
        TEST(test_an_invalid_roster_is_ignored),
        TEST(test_a_truncated_log_is_reported),
    };
    return cmocka_run_group_tests_name("overlay-roster", tests, NULL, NULL);
}
