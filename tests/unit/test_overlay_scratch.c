/*
 * A scratch and its sessions: over close and open, a kill, damage, two daemons, many threads.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <zlib.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/node.h"

static const struct sample samples[] = {
    {.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e/f", .type = ENTRY_FILE, .mode = 0644, .size = 10001},
    {.path = "d/g", .type = ENTRY_FILE, .mode = 0644, .size = 1},
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 300001},
    {.path = "link", .type = ENTRY_SYMLINK, .mode = 0777, .target = "d"},
};
enum { LARGE = 300001 };

struct world {
    struct place *place;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    int logs_fd;
};

static void world_begin(struct world *world, struct place *place)
{
    *world = (struct world){.place = place, .logs_fd = -1};
    place_template(place, samples, ARRAY_LENGTH(samples), world->key);
    world->scratch = scratch_of(place);
    world->logs_fd =
        openat(place->store->sessions_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(world->logs_fd >= 0);
}

static void world_reopen(struct world *world)
{
    scratch_close(world->scratch);
    world->scratch = scratch_of(world->place);
}

/* Opens it again, and the text that was said. */
static char *world_reopen_said(struct world *world)
{
    scratch_close(world->scratch);
    said_begin();
    world->scratch = scratch_of(world->place);
    return said_end();
}

static void world_end(struct world *world)
{
    scratch_close(world->scratch);
    (void)close(world->logs_fd);
}

static bool has_session(const struct world *world, const char *id)
{
    struct node *root = NULL;
    int r = scratch_session_find(world->scratch, world->key, id, &root);
    if (r == 0)
        node_unref(root, 1);
    else
        CHECK_EQ(r, -ENOENT);
    return r == 0;
}

static uint64_t serial_of(const struct world *world, const char *id)
{
    struct node *root = session_found(world->scratch, world->key, id);
    uint64_t serial = session_serial(node_session(root));
    node_unref(root, 1);
    return serial;
}

static void log_name(char name[32], uint64_t serial)
{
    (void)snprintf(name, 32, "%016llx", (unsigned long long)serial);
}

/* A session with a few bytes of its own. */
static void make_marked(const struct world *world, const char *id, const char *mark)
{
    struct node *root = session_made(world->scratch, world->key, id);
    struct node *node = node_there(root, "large");
    CHECK_EQ(file_write(node, mark, strlen(mark), 50000), 0);
    node_unref(node, 1);
    node_unref(file_made(root, mark), 1);
    node_unref(root, 1);
}

static void check_marked(const struct world *world, const char *id, const char *mark)
{
    char bytes[64] = "";
    struct node *root = session_found(world->scratch, world->key, id);
    struct node *node = node_there(root, "large");
    CHECK_EQ(file_read(node, bytes, strlen(mark), 50000), strlen(mark));
    CHECK(!strcmp(bytes, mark));
    node_unref(node, 1);
    node_unref(node_there(root, mark), 1);
    node_unref(root, 1);
}

static void discard(const struct world *world, const char *id)
{
    CHECK_EQ(scratch_session_discard(world->scratch, world->key, id), 0);
}

static uint64_t stored_bytes(const struct world *world)
{
    struct scratch_counts counts;
    scratch_count(world->scratch, &counts);
    return counts.stored_bytes;
}

/* ---- one daemon at a time ---- */

static void test_two_opens(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    struct scratch *second = NULL;
    said_begin();
    int r = scratch_open(world.place->store, &(struct scratch_options){0}, &second);
    AUTO_FREE char *said = said_end();
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK_EQ(r, -EWOULDBLOCK);
    CHECK(strstr(said, scratch_path(world.scratch)) && strstr(said, pid));
    check_marked(&world, "a", "mark-a");
    world_reopen(&world);
    check_marked(&world, "a", "mark-a");
    world_end(&world);
}

static void test_places_that_are_refused(void **state)
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
    said_begin();
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
    free(said_end());
    world_end(&world);
}

static void test_ids(void **state)
{
    struct world world;
    world_begin(&world, *state);
    struct base *base = NULL;
    CHECK_EQ(scratch_base(world.scratch, world.key, &base), 0);
    char longest[SESSION_ID_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[SESSION_ID_MAX + 1] = '\0';
    const char *const bad[] = {"", ".", "..", ".a", "a/b", "a b", "a\n", "\xc3\xa4", longest};
    struct session_new_options options = {.mode = 0700};
    struct node *root = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        CHECK_EQ(scratch_session_new(world.scratch, base, bad[i], &options, &root), -EINVAL);
    longest[SESSION_ID_MAX] = '\0';
    CHECK_EQ(scratch_session_new(world.scratch, base, longest, &options, &root), 0);
    node_unref(root, 1);
    CHECK_EQ(scratch_session_new(world.scratch, base, longest, &options, &root), -EEXIST);
    world_reopen(&world);
    CHECK(has_session(&world, longest));
    discard(&world, longest);
    CHECK_EQ(scratch_session_discard(world.scratch, world.key, longest), -ENOENT);
    base_unref(base);
    world_end(&world);
}

/* ---- sessions come and go ---- */

static bool note_session(const struct session *session, void *context)
{
    char *text = context;
    (void)strcat(text, session_id(session));
    (void)strcat(text, " ");
    return true;
}

static void check_listing(const struct world *world, const char *expected)
{
    char text[256] = "";
    scratch_each(world->scratch, world->key, 0, note_session, text);
    if (strcmp(text, expected) != 0)
        support_fail(__FILE__, __LINE__, "listed: %s, not: %s", text, expected);
}

static void test_over_close_and_open(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "z", "mark-z");
    make_marked(&world, "a", "mark-a");
    make_marked(&world, "m", "mark-m");
    uint64_t serials[] = {serial_of(&world, "z"), serial_of(&world, "a"), serial_of(&world, "m")};
    check_listing(&world, "z a m ");
    for (int round = 0; round < 2; round++) {
        AUTO_FREE char *said = world_reopen_said(&world);
        CHECK(!strcmp(said, ""));
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

/* What is open lives on without a name, and gives its blocks back with the last reference. */
static void test_discard_while_in_use(void **state)
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
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", "s", false), -EEXIST);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "none", "s", true), -ENOENT);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", ".s", true), -EINVAL);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "fresh", "s", true), 0);
    for (int round = 0; round < 3; round++) {
        check_listing(&world, "s ");
        check_marked(&world, "s", "new");
        root = session_found(world.scratch, world.key, "s");
        session_get_lease(node_session(root), &lease);
        CHECK_EQ(lease.ends_ns, INT64_C(4000000000000000000));
        if (round == 1)
            CHECK_EQ(session_compact(node_session(root), true), 0);
        node_unref(root, 1);
        world_reopen(&world);
    }
    discard(&world, "s");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* ---- logs that tell of no session, or of a wrong one ---- */

static void read_boot_id(char ret_boot_id[BOOT_ID_SIZE + 1])
{
    AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(io_pread_exact(fd, ret_boot_id, BOOT_ID_SIZE, 0), 0);
    ret_boot_id[BOOT_ID_SIZE] = '\0';
}

static struct session_header header_for(const struct world *world, uint64_t serial, const char *id)
{
    struct session_header header = {.serial = serial, .uid = geteuid(), .gid = getegid()};
    read_boot_id(header.boot_id);
    (void)snprintf(header.key, sizeof(header.key), "%s", world->key);
    (void)snprintf(header.id, sizeof(header.id), "%s", id);
    return header;
}

static void write_log(const struct world *world, uint64_t serial,
                      const struct session_header *header, const struct extent_record *extent)
{
    AUTO_FRAME struct frame frame;
    struct changelog *log = NULL;
    char name[32];
    struct node_record root = {.node = NODE_ROOT, .base = BASE_ROOT, .mode = S_IFDIR | 0700};
    frame_init(&frame);
    frame_add_header(&frame, header);
    frame_add_node(&frame, &root, NULL);
    if (extent)
        frame_add_extent(&frame, extent);
    log_name(name, serial);
    CHECK_EQ(changelog_create(world->logs_fd, name, &frame, &log), 0);
    changelog_close(log);
}

static bool has_log(const struct world *world, const char *name)
{
    struct stat status;
    return fstatat(world->logs_fd, name, &status, 0) == 0;
}

static void test_another_boot(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "stays", "mark");
    struct session_header header = header_for(&world, 1000, "gone");
    header.boot_id[0] = header.boot_id[0] == 'f' ? '0' : 'f';
    write_log(&world, 1000, &header, NULL);
    AUTO_FREE char *said = world_reopen_said(&world);
    CHECK(strstr(said, "00000000000003e8") && strstr(said, "started anew"));
    CHECK_EQ(strchr(said, '\n') - said, (long)strlen(said) - 1);
    CHECK(!has_log(&world, "00000000000003e8"));
    check_listing(&world, "stays ");
    check_marked(&world, "stays", "mark");
    world_end(&world);
}

static void test_a_template_that_is_gone(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "stays", "mark");
    struct session_header header = header_for(&world, 1000, "gone");
    memset(header.key, 'e', SHA256_HEX_LENGTH);
    write_log(&world, 1000, &header, NULL);
    AUTO_FREE char *said = world_reopen_said(&world);
    CHECK(strstr(said, "00000000000003e8") && strstr(said, "template is gone"));
    check_listing(&world, "stays ");
    world_end(&world);
}

static void flip(const struct world *world, const char *name, off_t offset, char bit)
{
    AUTO_FD int fd = openat(world->logs_fd, name, O_RDWR | O_CLOEXEC);
    char byte;
    CHECK_EQ(io_pread_exact(fd, &byte, 1, offset), 0);
    byte ^= bit;
    CHECK_EQ(io_pwrite(fd, &byte, 1, offset), 0);
}

static void test_damaged_logs(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    make_marked(&world, "hurt", "mark-hurt");
    make_marked(&world, "z", "mark-z");
    char name[32];
    char aside[64];
    log_name(name, serial_of(&world, "hurt"));
    (void)snprintf(aside, sizeof(aside), "%s.damaged", name);
    scratch_close(world.scratch);
    flip(&world, name, 40, 4);
    said_begin();
    world.scratch = scratch_of(world.place);
    AUTO_FREE char *said = said_end();
    CHECK(strstr(said, name) && strstr(said, "damaged"));
    check_listing(&world, "a z ");
    check_marked(&world, "a", "mark-a");
    check_marked(&world, "z", "mark-z");
    CHECK(!has_log(&world, name) && has_log(&world, aside));
    AUTO_FREE char *said_again = world_reopen_said(&world);
    CHECK(!strcmp(said_again, ""));
    CHECK(has_log(&world, aside));
    check_marked(&world, "a", "mark-a");
    check_marked(&world, "z", "mark-z");
    world_end(&world);
}

/* Each log that lies is put aside, and takes nothing of the others with it. */
static void test_logs_that_lie(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    uint64_t serial = serial_of(&world, "a");
    struct node *root = session_found(world.scratch, world.key, "a");
    struct node *node = node_there(root, "large");
    struct stat status;
    node_stat(node, &status);
    node_unref(node, 1);
    node_unref(root, 1);
    struct extent_record taken = {.node = (uint32_t)status.st_ino, /* the same entry everywhere */
                                  .at = 12,
                                  .count = 1,
                                  .block = 0,
                                  .size_bytes = LARGE};
    struct extent_record never_written = taken;
    never_written.block = 100000;
    struct extent_record most = never_written;
    most.block = BLOCK_LIMIT - 1;
    struct extent_record zeros = taken;
    zeros.block = BLOCK_ZERO;
    zeros.at = 0;
    zeros.count = 1 << 30;
    struct extent_record nobody = taken;
    nobody.node = 4711;
    const struct extent_record *const extents[] = {&taken, &never_written, &most, &zeros, &nobody};
    for (size_t i = 0; i < ARRAY_LENGTH(extents) + 4; i++) {
        support_context("lie %zu", i);
        struct session_header header = header_for(&world, 2000 + i, "liar");
        if (i == ARRAY_LENGTH(extents)) /* a copy of a log under another name */
            header.serial = serial;
        else if (i == ARRAY_LENGTH(extents) + 1)
            (void)snprintf(header.id, sizeof(header.id), "../liar");
        else if (i == ARRAY_LENGTH(extents) + 2)
            header.key[5] = 'x';
        else if (i == ARRAY_LENGTH(extents) + 3)
            header.serial = 0;
        scratch_close(world.scratch);
        write_log(&world, 2000 + i, &header, i < ARRAY_LENGTH(extents) ? extents[i] : NULL);
        said_begin();
        world.scratch = scratch_of(world.place);
        AUTO_FREE char *said = said_end();
        CHECK(strstr(said, "damaged"));
        check_listing(&world, "a ");
        check_marked(&world, "a", "mark-a");
        CHECK_EQ(stored_bytes(&world), 4096);
    }
    support_context("%s", "");
    discard(&world, "a");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* Two logs of one ID: the later one, which did not take the ID from the other, is the lesser. */
static void test_one_id_twice(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    scratch_close(world.scratch);
    struct session_header header = header_for(&world, 2000, "a");
    write_log(&world, 2000, &header, NULL);
    said_begin();
    world.scratch = scratch_of(world.place);
    free(said_end());
    check_listing(&world, "a ");
    check_marked(&world, "a", "mark-a");
    discard(&world, "a");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* A scratch that cannot be recovered is refused, and nothing in it is lost. */
static void test_a_later_version(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    make_marked(&world, "b", "mark-b");
    make_marked(&world, "c", "mark-c");
    for (int which = 0; which < 3; which++) {
        const char *id = which == 0 ? "a" : which == 1 ? "b" : "c";
        char name[32];
        log_name(name, serial_of(&world, id));
        scratch_close(world.scratch);
        flip(&world, name, 3, '1' ^ '2');
        struct scratch *refused = NULL;
        said_begin();
        CHECK_EQ(scratch_open(world.place->store, &(struct scratch_options){0}, &refused),
                 -EPROTONOSUPPORT);
        AUTO_FREE char *said = said_end();
        CHECK(strstr(said, name));
        flip(&world, name, 3, '1' ^ '2');
        said_begin();
        world.scratch = scratch_of(world.place);
        AUTO_FREE char *said_then = said_end();
        CHECK(!strcmp(said_then, ""));
        check_marked(&world, "a", "mark-a");
        check_marked(&world, "b", "mark-b");
        check_marked(&world, "c", "mark-c");
    }
    world_end(&world);
}

/* What a killed daemon was about to write is swept without a word. */
static void test_unfinished_work(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    AUTO_FREE char *bytes = NULL;
    size_t size = 0;
    char name[32];
    log_name(name, serial_of(&world, "a"));
    CHECK_EQ(dir_read_file(world.logs_fd, name, 1 << 20, &bytes, &size), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "00000000000003e8", "", 0, 0600), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "00000000000003e9", bytes, 7, 0600), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "00000000000003ea", bytes, 100, 0600), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "0000000000000001.new", bytes, size, 0600), 0);
    AUTO_FREE char *said = world_reopen_said(&world);
    CHECK(!strcmp(said, ""));
    check_listing(&world, "a ");
    CHECK(!has_log(&world, "00000000000003e8") && !has_log(&world, "00000000000003e9"));
    CHECK(!has_log(&world, "00000000000003ea") && !has_log(&world, "0000000000000001.new"));
    check_marked(&world, "a", "mark-a");
    world_end(&world);
}

/* Sessions that idle take no descriptor each, whether they were made or recovered. */
static void test_many_sessions(void **state)
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

/* ---- a log with anything in it ---- */

static uint32_t checksum(uint64_t offset, const void *bytes, size_t size)
{
    uLong crc = crc32_z(0, (const Bytef *)&offset, sizeof(offset));
    return (uint32_t)crc32_z(crc, bytes, size);
}

/* As at the top of changelog.c: changes some of a frame's payload, and makes its sums right. */
static void mutate(struct rng *rng, char *bytes, size_t size)
{
    uint64_t starts[1000];
    unsigned count = 0;
    for (uint64_t at = 0; at + 16 <= size && count < ARRAY_LENGTH(starts);) {
        uint32_t length;
        memcpy(&length, bytes + at + 4, 4);
        starts[count++] = at;
        at += 16 + length;
    }
    for (uint64_t i = 1 + rng_below(rng, 3); i > 0; i--) {
        uint64_t at = starts[rng_below(rng, count)];
        uint32_t words[4];
        memcpy(words, bytes + at, 16);
        if (words[1] == 0)
            continue;
        uint64_t where = rng_below(rng, words[1]);
        uint32_t small = (uint32_t)rng_below(rng, 30);
        char *payload = bytes + at + 16;
        if (rng_chance(rng, 50))
            memcpy(payload + where / 4 * 4, &small, 4);
        else if (rng_chance(rng, 50))
            payload[where] = (char)rng_next(rng);
        else
            payload[where] = (char)(payload[where] ^ 1 << rng_below(rng, 8));
        words[2] = checksum(at, payload, words[1]);
        words[3] = checksum(at, words, 12);
        memcpy(bytes + at, words, 16);
    }
}

struct walk {
    struct node *directory;
    char names[64][NAME_BYTES_MAX + 1];
    unsigned count;
};

static bool gather(const char *name, uint64_t ino UNUSED, mode_t type UNUSED,
                   uint64_t cookie UNUSED, void *context)
{
    struct walk *walk = context;
    if (walk->count < ARRAY_LENGTH(walk->names) && strcmp(name, ".") != 0 &&
        strcmp(name, "..") != 0)
        (void)snprintf(walk->names[walk->count++], NAME_BYTES_MAX + 1, "%s", name);
    return true;
}

/* Looks at everything, and takes some of it away. */
static void walk_tree(struct node *directory, struct rng *rng, int depth)
{
    AUTO_FREE struct walk *walk = calloc(1, sizeof(*walk));
    CHECK(walk);
    session_readdir(directory, 0, gather, walk);
    for (unsigned i = 0; i < walk->count; i++) {
        struct node *node = NULL;
        CHECK_EQ(session_lookup(directory, walk->names[i], &node), 0);
        struct stat status;
        node_stat(node, &status);
        CHECK(status.st_nlink > 0);
        if (S_ISDIR(status.st_mode) && depth < 20) {
            walk_tree(node, rng, depth + 1);
        } else if (S_ISREG(status.st_mode)) {
            char bytes[5000];
            CHECK(file_read(node, bytes, sizeof(bytes), rng_below(rng, 60000)) >= -EIO);
            if (rng_chance(rng, 30))
                CHECK(file_write(node, bytes, 100, rng_below(rng, 60000)) <= 0);
        } else if (S_ISLNK(status.st_mode)) {
            CHECK(strlen(node_target(node)) <= TARGET_BYTES_MAX);
        }
        if (rng_chance(rng, 30)) {
            int r = S_ISDIR(status.st_mode) ? session_rmdir(directory, walk->names[i])
                                            : session_unlink(directory, walk->names[i]);
            CHECK(r <= 0);
        }
        node_unref(node, 1);
    }
}

static int lend_base(const char *key, struct base **ret_base, void *context)
{
    struct base *base = context;
    if (strcmp(key, base_key(base)) != 0)
        return -ENOENT;
    *ret_base = base_ref(base);
    return 0;
}

/* Recovers a log of these bytes, and uses what comes of it. Returns what recovery said. */
static int try_log(const struct place *place, struct base *base, const char *boot_id,
                   const char *bytes, size_t size, struct rng *rng)
{
    AUTO_FD int dirfd = dir_ensure(place->fd, "logs", 0700);
    CHECK_EQ(dir_remove_tree(dirfd, "0000000000000001"), 0);
    AUTO_FD int log = io_openat(dirfd, "0000000000000001", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(log >= 0);
    CHECK_EQ(io_pwrite(log, bytes, size, 0), 0);
    int fd = io_openat(place->fd, "blocks-copy", O_RDWR, 0600);
    struct blocks *blocks = NULL;
    CHECK_EQ(blocks_new(fd, &blocks), 0);
    struct session_list list = {.reserve_fd = -1};
    CHECK_EQ(pthread_mutex_init(&list.mutex, NULL), 0);
    const struct recovery recovery = {.list = &list,
                                      .dirfd = dirfd,
                                      .name = "0000000000000001",
                                      .blocks = blocks,
                                      .boot_id = boot_id,
                                      .find_base = lend_base,
                                      .context = base};
    struct session *session = NULL;
    int r = session_recover(&recovery, &session);
    if (r == 0) {
        struct node *root = session->root;
        node_ref(root);
        walk_tree(root, rng, 0);
        CHECK_EQ(session_compact(session, true), 0);
        node_unref(root, 1);
        CHECK_EQ(session_retire(session), 0);
        session_discard(session);
        session_unpin(session);
    }
    CHECK(LIST_EMPTY(&list.sessions));
    CHECK_EQ(blocks_taken(blocks), 0);
    CHECK_EQ(atomic_load(&list.stored_blocks), 0);
    CHECK_EQ(pthread_mutex_destroy(&list.mutex), 0);
    blocks_free(blocks);
    return r;
}

/* A log with every kind of record in it, compacted in the middle. */
static void make_eventful(const struct world *world)
{
    struct node *root = session_made(world->scratch, world->key, "s");
    struct node *large = node_there(root, "large");
    struct node *d = node_there(root, "d");
    struct node *made = directory_made(root, "made");
    struct node *file = file_made(made, "file");
    struct node_new link = {.mode = S_IFLNK | 0777, .target = "somewhere"};
    struct node *symbolic = NULL;
    char bytes[20000] = "bytes";
    for (int half = 0; half < 2; half++) {
        CHECK_EQ(file_write(large, bytes, sizeof(bytes), 12345), 0);
        CHECK_EQ(file_write(file, bytes, sizeof(bytes), 99), 0);
        CHECK_EQ(file_allocate(large, 3, 4096, 8192), 0);
        CHECK_EQ(file_truncate(large, 50000), 0);
        CHECK_EQ(session_link(file, d, half ? "hard2" : "hard1"), 0);
        CHECK_EQ(session_make(d, half ? "sym2" : "sym1", &link, &symbolic), 0);
        node_unref(symbolic, 1);
        if (half == 0) {
            CHECK_EQ(session_rename(d, "e", root, "e", 0), 0);
            CHECK_EQ(session_rename(d, "g", made, "g", 0), 0);
            CHECK_EQ(session_compact(node_session(root), true), 0);
        } else {
            CHECK_EQ(session_rename(root, "e", root, "d", 2), 0);
            CHECK_EQ(session_unlink(made, "file"), 0);
            CHECK_EQ(session_unlink(root, "link"), 0);
            struct session_lease lease = {.ends_ns = 1};
            CHECK_EQ(session_set_lease(node_session(root), &lease), 0);
        }
    }
    node_unref(file, 1);
    node_unref(made, 1);
    node_unref(d, 1);
    node_unref(large, 1);
    node_unref(root, 1);
}

struct fuzz {
    const struct place *place;
    struct base *base;
    char boot_id[BOOT_ID_SIZE + 1];
    char *bytes;
    size_t size;
    unsigned accepted;
};

static void run_fuzz(struct rng *rng, void *context)
{
    struct fuzz *fuzz = context;
    AUTO_FREE char *mutated = malloc(fuzz->size);
    CHECK(mutated);
    for (int i = 0; i < 150; i++) {
        memcpy(mutated, fuzz->bytes, fuzz->size);
        if (i > 0)
            mutate(rng, mutated, fuzz->size);
        int r = try_log(fuzz->place, fuzz->base, fuzz->boot_id, mutated, fuzz->size, rng);
        CHECK(i > 0 || r == 0);
        CHECK(r == 0 || r == -EBADMSG || r == -ENOENT || r == -ESTALE);
        fuzz->accepted += r == 0;
    }
}

static void test_any_log(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_eventful(&world);
    struct fuzz fuzz = {.place = *state};
    read_boot_id(fuzz.boot_id);
    char name[32];
    log_name(name, serial_of(&world, "s"));
    CHECK_EQ(serial_of(&world, "s"), 1);
    CHECK_EQ(scratch_base(world.scratch, world.key, &fuzz.base), 0);
    CHECK_EQ(dir_read_file(world.logs_fd, name, 1 << 20, &fuzz.bytes, &fuzz.size), 0);
    AUTO_FD int from = openat(world.place->store->sessions_fd, "blocks", O_RDONLY | O_CLOEXEC);
    AUTO_FD int to = io_openat(world.place->fd, "blocks-copy", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(io_copy_file(from, to), 0);
    support_each_seed(10, run_fuzz, &fuzz);
    CHECK(fuzz.accepted > 10);
    base_unref(fuzz.base);
    free(fuzz.bytes);
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

/* In a process of its own: writes, names, truncations, and tells of each when it is done. */
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
            CHECK_EQ(session_compact(node_session(root), true), 0);
        CHECK_EQ(write(victim->told[1], &number, sizeof(number)), sizeof(number));
    }
}

/* Which of the two names is there, or 0. */
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
    /* What it had told before it died. */
    CHECK_EQ(fcntl(victim->told[0], F_SETFL, O_NONBLOCK), 0);
    while (read(victim->told[0], &number, sizeof(number)) == sizeof(number))
        continue;
    CHECK_EQ(fcntl(victim->told[0], F_SETFL, 0), 0);
    return number;
}

static void test_killed(void **state)
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

        said_begin();
        world.scratch = scratch_of(world.place);
        AUTO_FREE char *said = said_end();
        CHECK(!strcmp(said, ""));
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

/* ---- threads ---- */

enum { THREADS = 64, THREAD_CALLS = 150 };

struct worker {
    const struct world *world;
    unsigned number;
    char *bytes; /* what must be in the file */
    size_t size;
};

static void worker_id(const struct worker *worker, char id[16])
{
    (void)snprintf(id, 16, "t%u", worker->number);
}

static void *work_in_own_session(void *context)
{
    struct worker *worker = context;
    struct rng rng = {.state = worker->number};
    char id[16];
    worker_id(worker, id);
    support_context("thread %u", worker->number);
    struct node *root = session_made(worker->world->scratch, worker->world->key, id);
    struct node *node = node_there(root, "large");
    for (int i = 0; i < THREAD_CALLS; i++) {
        char bytes[6000];
        size_t size = 1 + rng_below(&rng, sizeof(bytes));
        size_t offset = rng_below(&rng, LARGE - sizeof(bytes));
        if (rng_chance(&rng, 50)) {
            rng_fill(&rng, bytes, size);
            CHECK_EQ(file_write(node, bytes, size, offset), 0);
            memcpy(worker->bytes + offset, bytes, size);
            worker->size = offset + size > worker->size ? offset + size : worker->size;
        } else if (rng_chance(&rng, 10)) {
            CHECK_EQ(file_truncate(node, offset), 0);
            memset(worker->bytes + offset, 0, LARGE - offset);
            worker->size = offset;
        } else if (rng_chance(&rng, 10)) {
            char name[16];
            (void)snprintf(name, sizeof(name), "n%d", i);
            node_unref(file_made(root, name), 1);
        } else {
            ssize_t there = file_read(node, bytes, size, offset);
            CHECK(there >= 0 && memcmp(bytes, worker->bytes + offset, (size_t)there) == 0);
        }
        if (rng_chance(&rng, 2))
            CHECK_EQ(session_compact(node_session(root), true), 0);
    }
    file_check(node, worker->bytes, worker->size);
    node_unref(node, 1);
    node_unref(root, 1);
    if (worker->number % 2)
        CHECK_EQ(scratch_session_discard(worker->world->scratch, worker->world->key, id), 0);
    return NULL;
}

static void test_threads_on_one_template(void **state)
{
    struct world world;
    world_begin(&world, *state);
    AUTO_FREE char *pristine = malloc(LARGE);
    CHECK(pristine);
    sample_fill("large", pristine, LARGE);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .world = &world, .number = i, .bytes = malloc(LARGE), .size = LARGE};
        CHECK(workers[i].bytes);
        memcpy(workers[i].bytes, pristine, LARGE);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_own_session, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    world_reopen(&world);
    for (unsigned i = 0; i < THREADS; i++) {
        char id[16];
        worker_id(&workers[i], id);
        CHECK_EQ(has_session(&world, id), workers[i].number % 2 == 0);
        if (workers[i].number % 2 == 0) {
            struct node *root = session_found(world.scratch, world.key, id);
            struct node *node = node_there(root, "large");
            file_check(node, workers[i].bytes, workers[i].size);
            node_unref(node, 1);
            node_unref(root, 1);
            discard(&world, id);
        }
        free(workers[i].bytes);
    }
    CHECK_EQ(stored_bytes(&world), 0);
    /* And the template is what it was. */
    struct node *root = session_made(world.scratch, world.key, "after");
    struct node *node = node_there(root, "large");
    file_check(node, pristine, LARGE);
    node_unref(node, 1);
    node_unref(root, 1);
    world_end(&world);
}

/* Everything at once in one session: names, bytes, listings, compactions, discards. */
enum { CROWD = 8, CROWD_CALLS = 400 };

static bool count_name(const char *name UNUSED, uint64_t ino UNUSED, mode_t type UNUSED,
                       uint64_t cookie UNUSED, void *context)
{
    ++*(unsigned *)context;
    return true;
}

static void crowd_names(struct node *root, struct rng *rng)
{
    char from[8];
    char to[8];
    (void)snprintf(from, sizeof(from), "n%u", (unsigned)rng_below(rng, 6));
    (void)snprintf(to, sizeof(to), "n%u", (unsigned)rng_below(rng, 6));
    struct node *node = NULL;
    struct node_new how = {.mode = (rng_chance(rng, 30) ? S_IFDIR : S_IFREG) | 0700};
    unsigned count = 0;
    int r;
    switch (rng_below(rng, 9)) {
    case 0:
    case 1:
        r = session_make(root, from, &how, &node);
        if (r == 0)
            node_unref(node, 1);
        break;
    case 2:
        r = session_unlink(root, from);
        break;
    case 3:
        r = session_rmdir(root, from);
        break;
    case 4:
        r = session_rename(root, from, root, to, rng_chance(rng, 30) ? 2 : 0);
        break;
    case 5:
        r = session_lookup(root, from, &node);
        if (r == 0) {
            r = session_link(node, root, to);
            node_unref(node, 1);
        }
        break;
    case 6:
        session_readdir(root, 0, count_name, &count);
        r = 0;
        break;
    case 7: {
        struct stat to_set = {.st_mode = 0700 | (mode_t)rng_below(rng, 0100), .st_uid = 5};
        r = session_lookup(root, from, &node);
        if (r == 0) {
            r = node_set(node, &to_set, NODE_SET_MODE | NODE_SET_UID);
            node_unref(node, 1);
        }
        break;
    }
    default:
        r = session_compact(node_session(root), rng_chance(rng, 20));
        break;
    }
    CHECK(r <= 0 && r != -EBADMSG && r != -EIO);
}

static void crowd_bytes(struct node *root, struct rng *rng)
{
    char name[8];
    (void)snprintf(name, sizeof(name), "n%u", (unsigned)rng_below(rng, 6));
    struct node *node = NULL;
    if (session_lookup(root, rng_chance(rng, 50) ? "large" : name, &node) < 0)
        return;
    struct stat status;
    node_stat(node, &status);
    if (S_ISREG(status.st_mode)) {
        char bytes[5000] = "bytes";
        uint64_t offset = rng_below(rng, 100000);
        uint64_t ignored;
        CHECK_EQ(file_open(node), 0);
        CHECK_EQ(file_write(node, bytes, sizeof(bytes), offset), 0);
        CHECK(file_read(node, bytes, sizeof(bytes), offset) >= 0);
        CHECK(file_seek(node, 0, 4, &ignored) >= -ENXIO);
        if (rng_chance(rng, 20))
            CHECK_EQ(file_truncate(node, offset), 0);
        CHECK_EQ(file_allocate(node, 3, offset, 9000), 0);
        file_close(node);
    }
    node_unref(node, 1);
}

static void *work_in_a_crowd(void *context)
{
    struct worker *worker = context;
    struct rng rng = {.state = worker->number + 100};
    support_context("thread %u", worker->number);
    for (int i = 0; i < CROWD_CALLS; i++) {
        struct node *root = NULL;
        int r = scratch_session_find(worker->world->scratch, worker->world->key, "s", &root);
        if (r < 0) {
            struct base *base = NULL;
            struct session_new_options options = {.mode = 0700};
            CHECK_EQ(scratch_base(worker->world->scratch, worker->world->key, &base), 0);
            r = scratch_session_new(worker->world->scratch, base, "s", &options, &root);
            base_unref(base);
            CHECK(r == 0 || r == -EEXIST);
            if (r < 0)
                continue;
        }
        if (rng_chance(&rng, 60))
            crowd_names(root, &rng);
        else
            crowd_bytes(root, &rng);
        if (rng_chance(&rng, 1))
            CHECK(scratch_session_discard(worker->world->scratch, worker->world->key, "s") <= 0);
        (void)session_bytes(node_session(root));
        node_unref(root, 1);
    }
    return NULL;
}

static void test_threads_in_one_session(void **state)
{
    struct world world;
    world_begin(&world, *state);
    struct worker workers[CROWD];
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        workers[i] = (struct worker){.world = &world, .number = i};
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_a_crowd, &workers[i]), 0);
    }
    for (unsigned i = 0; i < CROWD; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    AUTO_FREE char *said = world_reopen_said(&world);
    CHECK(!strcmp(said, ""));
    if (has_session(&world, "s"))
        discard(&world, "s");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_opens),
        TEST(test_places_that_are_refused),
        TEST(test_ids),
        TEST(test_over_close_and_open),
        TEST(test_serials_are_never_used_again),
        TEST(test_discard_while_in_use),
        TEST(test_reset_keeps_the_id),
        TEST(test_another_boot),
        TEST(test_a_template_that_is_gone),
        TEST(test_damaged_logs),
        TEST(test_logs_that_lie),
        TEST(test_one_id_twice),
        TEST(test_a_later_version),
        TEST(test_unfinished_work),
        TEST(test_many_sessions),
        TEST(test_any_log),
        TEST(test_killed),
        TEST(test_threads_on_one_template),
        TEST(test_threads_in_one_session),
    };
    return cmocka_run_group_tests_name("overlay-scratch", tests, NULL, NULL);
}
