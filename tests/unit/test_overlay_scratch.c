/*
 * A scratch and its sessions: closing and opening, a kill, two daemons.
 */
#include "tests/unit/support_scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"
#include "fs/store/store_open.h"

/* ---- one daemon at a time ---- */

static void test_a_second_daemon_is_refused(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    struct scratch *second = NULL;
    stderr_capture();
    int r = scratch_open(world.place->store, &(struct scratch_options){0}, &second);
    AUTO_FREE char *logged = stderr_captured();
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK_EQ(r, -EWOULDBLOCK);
    CHECK(strstr(logged, scratch_path(world.scratch)) && strstr(logged, pid));
    check_marked(&world, "a", "mark-a");
    world_reopen(&world);
    check_marked(&world, "a", "mark-a");
    world_end(&world);
}

static void test_unsafe_places_are_refused(void **state)
{
    struct place *place = *state;
    struct world world;
    world_begin(&world, place);
    char path[256];
    char parent[200];
    (void)snprintf(parent, sizeof(parent), "%s/elsewhere", place->path);
    (void)snprintf(path, sizeof(path), "%s/mintfs-%u", parent, (unsigned)geteuid());
    struct scratch_options options = {.place = parent};
    struct scratch *scratch = NULL;
    stderr_capture();
    CHECK_EQ(scratch_open(place->store, &options, &scratch), -ENOENT);
    CHECK_EQ(mkdir(parent, 0700), 0);
    CHECK_EQ(scratch_open(place->store, &options, &scratch), 0);
    CHECK(!strncmp(scratch_path(scratch), path, strlen(path)));
    scratch_close(scratch);
    /* Another's, or open to others. */
    CHECK_EQ(chmod(path, 0770), 0);
    CHECK_EQ(scratch_open(place->store, &options, &scratch), -EPERM);
    CHECK_EQ(chmod(path, 0700), 0);
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    /* Of a later version. */
    CHECK_EQ(dir_write_file(fd, "mintfs-scratch", "mintfs scratch 2\n", 17, 0600), 0);
    CHECK_EQ(scratch_open(place->store, &options, &scratch), -EPROTONOSUPPORT);
    /* Not marked, and something in it. */
    CHECK_EQ(unlinkat(fd, "mintfs-scratch", 0), 0);
    CHECK_EQ(scratch_open(place->store, &options, &scratch), -EPERM);
    CHECK_EQ(dir_remove_tree(place->fd, "elsewhere"), 0);
    /* A killed daemon was about to mark it. */
    CHECK_EQ(mkdir(parent, 0700), 0);
    CHECK_EQ(mkdir(path, 0700), 0);
    (void)close(steal_fd(&fd));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_EQ(dir_write_file(fd, ".mintfs-scratch.4711.tmp", "mintfs s", 8, 0600), 0);
    CHECK_EQ(scratch_open(place->store, &options, &scratch), 0);
    scratch_close(scratch);
    free(stderr_captured());
    world_end(&world);
}

static void test_invalid_and_duplicate_ids_are_refused(void **state)
{
    struct world world;
    world_begin(&world, *state);
    struct lower *lower = NULL;
    CHECK_EQ(scratch_lower(world.scratch, world.key, &lower), 0);
    CHECK_EQ(lower_verify(lower, NULL), 0);
    char longest[SESSION_ID_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[SESSION_ID_MAX + 1] = '\0';
    const char *const bad[] = {"", ".", "..", ".a", "a/b", "a b", "a\n", "\xc3\xa4", longest};
    struct session_new_options options = {.mode = 0700};
    struct node *root = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK_EQ(scratch_session_new(world.scratch, lower, bad[i], &options, &root), -EINVAL);
    longest[SESSION_ID_MAX] = '\0';
    CHECK_EQ(scratch_session_new(world.scratch, lower, longest, &options, &root), 0);
    node_unref(root, 1);
    CHECK_EQ(scratch_session_new(world.scratch, lower, longest, &options, &root), -EEXIST);
    world_reopen(&world);
    CHECK(has_session(&world, longest));
    discard(&world, longest);
    CHECK_EQ(scratch_session_discard(world.scratch, world.key, longest), -ENOENT);
    lower_unref(lower);
    world_end(&world);
}

/* ---- creating and discarding sessions ---- */

static void test_sessions_survive_close_and_open(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "z", "mark-z");
    make_marked(&world, "a", "mark-a");
    make_marked(&world, "m", "mark-m");
    uint64_t serials[] = {serial_of(&world, "z"), serial_of(&world, "a"), serial_of(&world, "m")};
    check_listing(&world, "z a m ");
    for (int round = 0; round < 2; round++) {
        AUTO_FREE char *logged = world_reopen_logged(&world);
        CHECK(!strcmp(logged, ""));
        check_listing(&world, "z a m ");
        check_marked(&world, "z", "mark-z");
        check_marked(&world, "a", "mark-a");
        check_marked(&world, "m", "mark-m");
        CHECK_EQ(serial_of(&world, "z"), serials[0]);
        CHECK_EQ(serial_of(&world, "a"), serials[1]);
        CHECK_EQ(serial_of(&world, "m"), serials[2]);
    }
    discard(&world, "a");
    CHECK(!has_session(&world, "a"));
    world_reopen(&world);
    CHECK(!has_session(&world, "a"));
    check_listing(&world, "z m ");
    check_marked(&world, "z", "mark-z");
    check_marked(&world, "m", "mark-m");
    discard(&world, "z");
    discard(&world, "m");
    CHECK_EQ(stored_bytes(&world), 0);
    world_reopen(&world);
    check_listing(&world, "");
    world_end(&world);
}

/* A serial is part of inode numbers and a log's name. */
static void test_serials_are_never_used_again(void **state)
{
    struct world world;
    world_begin(&world, *state);
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        make_marked(&world, "s", "mark");
        uint64_t serial = serial_of(&world, "s");
        CHECK(serial > last);
        last = serial;
        if (i % 3 == 0)
            world_reopen(&world);
        discard(&world, "s");
        if (i % 2 == 0)
            world_reopen(&world);
    }
    world_end(&world);
}

/* Open files stay usable without a name, and release their blocks with the last reference. */
static void test_open_files_survive_a_discard(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "s", "mark-s");
    struct node *root = session_found(world.scratch, world.key, "s");
    struct node *directory = node_there(root, "d");
    struct node *node = node_there(root, "large");
    CHECK_EQ(file_open(node), 0);
    discard(&world, "s");
    make_marked(&world, "s", "new-s");

    AUTO_FREE char *expected = calloc(1, LARGE + 1);
    CHECK(expected);
    sample_fill("large", expected, LARGE);
    memcpy(expected + 50000, "mark-s", 6);
    file_check(node, expected, LARGE);
    CHECK_EQ(file_write(node, "later", 5, 70000), 0);
    memcpy(expected + 70000, "later", 5);
    file_check(node, expected, LARGE);
    CHECK_EQ(file_truncate(node, 60000), 0);
    file_check(node, expected, 60000);
    struct stat status;
    node_stat(node, &status);
    CHECK_EQ(status.st_nlink, 0);
    struct node *other = NULL;
    struct node_new how = {.mode = S_IFREG | 0600};
    CHECK_EQ(session_lookup(root, "large", &other), -ENOENT);
    CHECK_EQ(session_make(directory, "new", &how, &other), -ENOENT);
    CHECK_EQ(session_link(node, root, "link"), -ENOENT);
    CHECK_EQ(session_unlink(directory, "g"), -ENOENT);
    CHECK_EQ(session_rename(root, "d", directory, "x", 0), -ENOENT);

    /* The new session has nothing of the old. */
    check_marked(&world, "s", "new-s");
    uint64_t before = stored_bytes(&world);
    file_close(node);
    node_unref(node, 1);
    CHECK(stored_bytes(&world) < before);
    node_unref(directory, 1);
    node_unref(root, 1);
    check_marked(&world, "s", "new-s");
    discard(&world, "s");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

static void test_reset_keeps_the_id(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "s", "old");
    struct node *root = session_found(world.scratch, world.key, "s");
    struct session_lease lease = {.ends_ns = INT64_C(4000000000000000000)};
    CHECK_EQ(session_set_lease(node_session(root), &lease), 0);
    node_unref(root, 1);
    make_marked(&world, "fresh", "new");
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", "s", RENAME_NOREPLACE),
             -EEXIST);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "none", "s", 0), -ENOENT);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", ".s", 0), -EINVAL);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", "s", 0), 0);
    for (int round = 0; round < 3; round++) {
        check_listing(&world, "s ");
        check_marked(&world, "s", "new");
        root = session_found(world.scratch, world.key, "s");
        session_get_lease(node_session(root), &lease);
        CHECK_EQ(lease.ends_ns, INT64_C(4000000000000000000));
        if (round == 1)
            CHECK_EQ(session_rewrite_log(node_session(root)), 0);
        node_unref(root, 1);
        world_reopen(&world);
    }
    discard(&world, "s");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* Sessions that idle take no descriptor each, whether they were made or recovered. */
static void test_many_sessions_need_few_descriptors(void **state)
{
    struct world world;
    world_begin(&world, *state);
    enum { SESSIONS = 700 };
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SESSIONS; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "s%d", i);
            if (round == 0)
                make_marked(&world, id, "mark");
            else
                check_marked(&world, id, "mark");
        }
        CHECK(support_open_fds() < 600);
        world_reopen(&world);
        CHECK(support_open_fds() < 600);
    }
    for (int i = 0; i < SESSIONS; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "s%d", i);
        discard(&world, id);
    }
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* ---- a killed daemon ---- */

enum { KILLED_BYTES = 200000 };

/* The same on each side of the kill. */
static size_t killed_write(uint32_t number, char bytes[30000], uint64_t *ret_offset)
{
    struct rng rng = {.state = number};
    *ret_offset = rng_below(&rng, KILLED_BYTES - 30000);
    size_t size = 1 + rng_below(&rng, rng_chance(&rng, 70) ? 5000 : 29999);
    rng_fill(&rng, bytes, size);
    return size;
}

struct victim {
    char key[SHA256_HEX_LENGTH + 1];
    uint32_t first;
    int told[2]; /* a pipe: numbers of writes that are done */
};

/* In a process of its own: writes, names, truncations; reports each when it is done. */
static void be_a_victim(void *context)
{
    const struct victim *victim = context;
    struct place place = {0};
    CHECK_EQ(store_open(&place.store), 0);
    struct scratch *scratch = scratch_of(&place);
    struct node *root = session_found(scratch, victim->key, "s");
    struct node *node = node_there(root, "file");
    char bytes[30000];
    for (uint32_t number = victim->first;; number++) {
        uint64_t offset;
        size_t size = killed_write(number, bytes, &offset);
        CHECK_EQ(file_write(node, bytes, size, offset), 0);
        char name[32];
        char former[32];
        (void)snprintf(name, sizeof(name), "at%u", number);
        (void)snprintf(former, sizeof(former), "at%u", number - 1);
        CHECK_EQ(session_rename(root, former, root, name, 0), 0);
        if (number % 16 == 0)
            CHECK_EQ(session_rewrite_log(node_session(root)), 0);
        CHECK_EQ(write(victim->told[1], &number, sizeof(number)), sizeof(number));
    }
}

/* Which of the two names exists, or 0. */
static uint32_t find_mark(struct node *root, uint32_t number)
{
    for (uint32_t i = number; i <= number + 1; i++) {
        char name[32];
        int error;
        (void)snprintf(name, sizeof(name), "at%u", i);
        struct node *node = node_at(root, name, &error);
        if (node) {
            node_unref(node, 1);
            return i;
        }
    }
    return 0;
}

static uint32_t kill_one(const struct victim *victim, uint32_t after)
{
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        be_a_victim((void *)(uintptr_t)victim);
        _exit(0);
    }
    uint32_t number = victim->first - 1;
    for (uint32_t i = 0; i < after; i++)
        CHECK_EQ(read(victim->told[0], &number, sizeof(number)), sizeof(number));
    CHECK_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* What it had reported before it died. */
    CHECK_EQ(fcntl(victim->told[0], F_SETFL, O_NONBLOCK), 0);
    while (read(victim->told[0], &number, sizeof(number)) == sizeof(number))
        continue;
    CHECK_EQ(fcntl(victim->told[0], F_SETFL, 0), 0);
    return number;
}

static void test_sessions_survive_a_kill(void **state)
{
    struct world world;
    world_begin(&world, *state);
    struct victim victim = {.first = 1};
    memcpy(victim.key, world.key, sizeof(victim.key));
    CHECK_EQ(pipe2(victim.told, O_CLOEXEC), 0);
    struct node *root = session_made(world.scratch, world.key, "s");
    node_unref(file_made(root, "file"), 1);
    node_unref(file_made(root, "at0"), 1);
    node_unref(root, 1);
    scratch_close(world.scratch);
    AUTO_FREE char *before = calloc(1, KILLED_BYTES);
    AUTO_FREE char *after = calloc(1, KILLED_BYTES);
    AUTO_FREE char *there = calloc(1, KILLED_BYTES);
    CHECK(before && after && there);
    struct rng rng = {.state = 1};
    for (int round = 0; round < 20; round++) {
        support_context("round %d", round);
        uint32_t done = kill_one(&victim, (uint32_t)rng_below(&rng, 40));
        char bytes[30000];
        uint64_t offset;
        for (uint32_t i = victim.first; i <= done; i++) {
            size_t size = killed_write(i, bytes, &offset);
            memcpy(before + offset, bytes, size);
        }
        /* The one that was being done may be there, or some of it. */
        memcpy(after, before, KILLED_BYTES);
        size_t size = killed_write(done + 1, bytes, &offset);
        memcpy(after + offset, bytes, size);

        stderr_capture();
        world.scratch = scratch_of(world.place);
        AUTO_FREE char *logged = stderr_captured();
        CHECK(!strcmp(logged, ""));
        root = session_found(world.scratch, world.key, "s");
        struct node *node = node_there(root, "file");
        ssize_t length = file_read(node, there, KILLED_BYTES, 0);
        CHECK(length >= 0);
        for (ssize_t i = 0; i < KILLED_BYTES; i++)
            CHECK(there[i] == before[i] || there[i] == after[i]);
        uint32_t mark = find_mark(root, done);
        CHECK(mark == done || mark == done + 1);
        /* Onward from a known state. */
        CHECK_EQ(file_write(node, bytes, size, offset), 0);
        memcpy(before, after, KILLED_BYTES);
        if (mark == done) {
            char name[32];
            char former[32];
            (void)snprintf(name, sizeof(name), "at%u", done + 1);
            (void)snprintf(former, sizeof(former), "at%u", done);
            CHECK_EQ(session_rename(root, former, root, name, 0), 0);
        }
        victim.first = done + 2;
        node_unref(node, 1);
        node_unref(root, 1);
        scratch_close(world.scratch);
    }
    support_context("%s", "");
    (void)close(victim.told[0]);
    (void)close(victim.told[1]);
    world.scratch = scratch_of(world.place);
    world_end(&world);
}

/* Its log names blocks past the end of the remaining storage. */
static void test_a_large_removed_file_is_trimmed(void **state)
{
    enum { SIZE = 9 << 20 };
    struct world world;
    world_begin(&world, *state);
    struct node *root = session_made(world.scratch, world.key, "one");
    struct node *file = file_made(root, "large-one");
    AUTO_FREE char *bytes = calloc(1, SIZE);
    CHECK(bytes);
    CHECK_EQ(file_write(file, bytes, SIZE, 0), 0);
    node_unref(file, 1);
    CHECK_EQ(session_unlink(root, "large-one"), 0);
    node_unref(root, 1);
    CHECK_EQ(stored_bytes(&world), 0);
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(!strcmp(logged, ""));
    check_listing(&world, "one ");
    world_end(&world);
}

/* Sessions are made and renamed while any allocation of a table's fails: each works or is
 * refused. */
static void test_without_memory_nothing_is_half_listed(void **state)
{
    enum { COUNT = 400 };
    struct world world;
    world_begin(&world, *state);
    char id[16];
    char renamed[16];
    unsigned long refused = 0;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof(id), "s%d", i);
        (void)snprintf(renamed, sizeof(renamed), "r%d", i);
        node_unref(session_made(world.scratch, world.key, id), 1);
        /* Half of them take the place of another. */
        if (i % 2)
            node_unref(session_made(world.scratch, world.key, renamed), 1);
        int r;
        unsigned long nth = 0;
        do {
            nth++;
            io_fault_arm(nth, ENOMEM, IO_FAULT_ONCE);
            r = scratch_session_rename(world.scratch, world.key, id, renamed, 0);
            io_fault_arm(0, 0, IO_FAULT_ONCE);
            refused += r < 0;
            CHECK(r == 0 || r == -ENOMEM);
            struct node *still = NULL;
            CHECK_EQ(scratch_session_find(world.scratch, world.key, r < 0 ? id : renamed, &still),
                     0);
            node_unref(still, 1);
        } while (r < 0);
    }
    CHECK(refused > COUNT);
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(!strcmp(logged, ""));
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof(id), "s%d", i);
        (void)snprintf(renamed, sizeof(renamed), "r%d", i);
        struct node *node = NULL;
        CHECK_EQ(scratch_session_find(world.scratch, world.key, id, &node), -ENOENT);
        CHECK_EQ(scratch_session_discard(world.scratch, world.key, renamed), 0);
    }
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_second_daemon_is_refused),
        TEST(test_unsafe_places_are_refused),
        TEST(test_invalid_and_duplicate_ids_are_refused),
        TEST(test_sessions_survive_close_and_open),
        TEST(test_serials_are_never_used_again),
        TEST(test_open_files_survive_a_discard),
        TEST(test_reset_keeps_the_id),
        TEST(test_many_sessions_need_few_descriptors),
        TEST(test_a_large_removed_file_is_trimmed),
        TEST(test_without_memory_nothing_is_half_listed),
        TEST(test_sessions_survive_a_kill),
    };
    return cmocka_run_group_tests_name("overlay-scratch", tests, NULL, NULL);
}
