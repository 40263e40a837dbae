/*
 * Covers session_replay and scratch_recover: logs without a session or with a wrong one, that is of
 * other boots, other templates, older versions, damaged or forged.
 */
#include "tests/unit/support_scratch.h"

#include <fcntl.h>
#include <stddef.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_format.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/overlay_internal.h"

static struct session_header header_for(const struct world *world, uint64_t serial, const char *id)
{
    struct session_header header = {
        .serial = serial, .owner = serial << 32, .uid = geteuid(), .gid = getegid()};
    read_boot_id(header.boot_id);
    (void)snprintf(header.key, sizeof(header.key), "%s", world->key);
    (void)snprintf(header.id, sizeof(header.id), "%s", id);
    return header;
}

static void write_log(const struct world *world, uint64_t serial,
                      const struct session_header *header, const struct extent_record *extents,
                      size_t count)
{
    AUTO_FRAME struct frame frame;
    struct changelog *log = NULL;
    char name[32];
    struct node_record root = {.node = NODE_ROOT, .entry = LOWER_ROOT, .mode = S_IFDIR | 0700};
    frame_init(&frame);
    frame_add_header(&frame, header);
    frame_add_node(&frame, &root, NULL);
    for (size_t i = 0; i < count; i++)
        frame_add_extent(&frame, &extents[i]);
    log_name(name, serial);
    CHECK_EQ(changelog_create(world->logs_fd, name, &frame, &log), 0);
    changelog_close(log);
}

static bool has_log(const struct world *world, const char *name)
{
    struct stat status;
    return fstatat(world->logs_fd, name, &status, 0) == 0;
}

static void test_sessions_of_another_boot_are_discarded(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "stays", "mark");
    struct session_header header = header_for(&world, 1000, "gone");
    header.boot_id[0] = header.boot_id[0] == 'f' ? '0' : 'f';
    write_log(&world, 1000, &header, NULL, 0);
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(strstr(logged, "00000000000003e8") && strstr(logged, "rebooted since"));
    CHECK_EQ(strchr(logged, '\n') - logged, (long)strlen(logged) - 1);
    CHECK(!has_log(&world, "00000000000003e8"));
    check_listing(&world, "stays ");
    check_marked(&world, "stays", "mark");
    world_end(&world);
}

static void test_sessions_of_an_evicted_template_are_discarded(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "stays", "mark");
    struct session_header header = header_for(&world, 1000, "gone");
    memset(header.key, 'e', SHA256_HEX_LENGTH);
    write_log(&world, 1000, &header, NULL, 0);
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(strstr(logged, "00000000000003e8") && strstr(logged, "template is gone"));
    check_listing(&world, "stays ");
    world_end(&world);
}

static char *read_log(const struct world *world, const char *name, size_t *ret_size)
{
    char *bytes = NULL;
    CHECK_EQ(dir_read_file(world->logs_fd, name, 1 << 20, &bytes, ret_size), 0);
    return bytes;
}

/* The log as a mintfs wrote it that knew only version 1 or 2: see changelog_format.h. */
static void write_old_log(const struct world *world, const char *name, int version)
{
    enum {
        HEADS = sizeof(struct frame_disk),
        OWNER_AT = HEADS + sizeof(struct record_disk) + offsetof(struct header_disk, owner),
        NOTE = sizeof(struct record_disk) + sizeof(struct template_disk),
    };
    size_t size;
    AUTO_FREE char *bytes = read_log(world, name, &size);
    struct record_disk header;
    memcpy(&header, bytes + HEADS, sizeof(header));
    char *owner = bytes + OWNER_AT;
    char *note = owner + sizeof(uint64_t) + (header.tail + 7) / 8 * 8;
    size_t cut = version == 1 ? NOTE : 0;
    memmove(note, note + cut, size - cut - (size_t)(note - bytes));
    cut += sizeof(uint64_t);
    memmove(owner, owner + sizeof(uint64_t), size - cut - (size_t)(owner - bytes));
    struct frame_disk head;
    for (size_t at = 0; at < size - cut; at += HEADS + head.size) {
        memcpy(&head, bytes + at, HEADS);
        if (at == 0) {
            head.magic = version == 1 ? FRAME_MAGIC : LOG_MAGIC_2;
            head.size -= (uint32_t)cut;
        }
        head.crc = frame_checksum(0, at, bytes + at + HEADS, head.size);
        head.check = frame_checksum(0, at, &head, offsetof(struct frame_disk, check));
        memcpy(bytes + at, &head, HEADS);
    }
    AUTO_FD int fd = openat(world->logs_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
    CHECK_EQ(io_pwrite(fd, bytes, size - cut, 0), 0);
}

/* As a mintfs wrote it that knew an owner by its number alone. */
static void write_second_log(const struct world *world, uint64_t serial, const char *id)
{
    enum { HEADS = 16 };
    char bytes[512] = "";
    struct record_disk head = {.type = RECORD_OLD_IDENTITY, .tail = (uint16_t)strlen(id)};
    struct old_identity_disk disk = {.ends_ns = 4711, .owner_start = 99, .owner_pid = getpid()};
    struct session_header header = header_for(world, serial, id);
    write_log(world, serial, &header, NULL, 0);
    char name[32];
    size_t size;
    log_name(name, serial);
    AUTO_FREE char *log = read_log(world, name, &size);
    CHECK(strlen(id) <= 8 && size + sizeof(head) + sizeof(disk) + 8 <= sizeof(bytes));
    memcpy(bytes, log, size);
    memcpy(bytes + size, &head, sizeof(head));
    size += sizeof(head);
    memcpy(bytes + size, &disk, sizeof(disk));
    size += sizeof(disk);
    memcpy(bytes + size, id, strlen(id));
    size += 8;
    uint32_t words[4] = {[1] = (uint32_t)size - HEADS};
    memcpy(bytes, words, HEADS);
    CHECK_EQ(dir_write_file(world->logs_fd, name, bytes, size, 0600), 0);
    write_old_log(world, name, 2);
}

/* A template that is built again under its key may differ: a session on it would be a mixture. */
static void test_sessions_of_a_rebuilt_template_are_discarded(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "one", "mark");
    scratch_close(world.scratch);
    world_rebuild_template(&world, false);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(!strcmp(logged, ""));
    check_marked(&world, "one", "mark");
    /* The ID that it has now is logged. */
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "one", "two", RENAME_NOREPLACE), 0);
    scratch_close(world.scratch);
    world_rebuild_template(&world, true);
    AUTO_FREE char *said_then = world_open_logged(&world);
    CHECK(strstr(said_then, "session two of") && strstr(said_then, "rebuilt since"));
    check_listing(&world, "");
    CHECK_EQ(stored_bytes(&world), 0);
    AUTO_FREE char *logged_again = world_reopen_logged(&world);
    CHECK(!strcmp(logged_again, ""));
    world_end(&world);
}

static uint32_t number_of(const struct world *world, const char *id, const char *path)
{
    struct node *root = session_found(world->scratch, world->key, id);
    struct node *node = node_there(root, path);
    struct stat status;
    node_stat(node, &status);
    node_unref(node, 1);
    node_unref(root, 1);
    return (uint32_t)status.st_ino; /* the same entry in every session */
}

/* What older versions do not have. */
static void forget_files(const struct world *world)
{
    int sessions_fd = world->place->store->sessions_fd;
    AUTO_FD int fd = openat(sessions_fd, "owners", O_WRONLY | O_CLOEXEC);
    CHECK_EQ(io_ftruncate(fd, 0), 0);
    CHECK_EQ(unlinkat(sessions_fd, "roster", 0), 0);
}

/* It is read, its blocks get their tags, and it is rewritten at once. */
static void test_logs_of_older_versions_are_rewritten(void **state)
{
    for (int version = 1; version <= 2; version++) {
        struct world world;
        world_begin(&world, *state);
        char name[32];
        char other[32];
        make_marked(&world, "one", "mark");
        make_marked(&world, "two", "mark-two");
        log_name(name, serial_of(&world, "one"));
        log_name(other, serial_of(&world, "two"));
        scratch_close(world.scratch);
        write_old_log(&world, name, version);
        write_old_log(&world, other, version);
        forget_files(&world);
        AUTO_FREE char *logged = world_open_logged(&world);
        CHECK(!strcmp(logged, ""));
        check_marked(&world, "one", "mark");
        check_marked(&world, "two", "mark-two");
        size_t size;
        AUTO_FREE char *bytes = read_log(&world, name, &size);
        CHECK_EQ(memcmp(bytes, "mfl3", 4), 0);
        make_marked(&world, "three", "mark-three");
        AUTO_FREE char *logged_again = world_reopen_logged(&world);
        CHECK(!strcmp(logged_again, ""));
        check_marked(&world, "one", "mark");
        check_marked(&world, "two", "mark-two");
        scratch_close(world.scratch);
        world_rebuild_template(&world, true);
        AUTO_FREE char *said_then = world_open_logged(&world);
        CHECK(strstr(said_then, "session one of") && strstr(said_then, "rebuilt since"));
        world_end(&world);
    }
}

/* If two old logs name the same block, it is not known which is right: neither session is shown. */
static void test_old_logs_that_share_a_block_are_put_aside(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "stays", "mark");
    make_marked(&world, "one", "mark-one");
    uint64_t serial = serial_of(&world, "one");
    uint32_t file_number = number_of(&world, "stays", "d/e/f");
    char name[32];
    char twin[32];
    log_name(name, serial);
    scratch_close(world.scratch);
    write_old_log(&world, name, 2);
    struct session_header header = header_for(&world, serial + 7, "twin");
    struct extent_record claim = {.node = file_number, .count = 1, .block = 1, .size_bytes = LARGE};
    write_log(&world, serial + 7, &header, &claim, 1);
    log_name(twin, serial + 7);
    write_old_log(&world, twin, 2);
    forget_files(&world);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(strstr(logged, name) && strstr(logged, twin));
    CHECK(!has_session(&world, "one") && !has_session(&world, "twin"));
    world_end(&world);
}

/*
 * The number may be that of any process in any namespace: it counts neither as alive nor as gone.
 */
static void test_an_owner_in_an_old_log_is_not_taken_for_gone(void **state)
{
    struct world world;
    char name[32];
    world_begin(&world, *state);
    scratch_close(world.scratch);
    write_second_log(&world, 7, "two");
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(!strcmp(logged, ""));
    for (int i = 0; i < 2; i++) {
        struct session_lease lease;
        struct node *root = session_found(world.scratch, world.key, "two");
        session_get_lease(node_session(root), &lease);
        node_unref(root, 1);
        CHECK(lease.ends_ns == 4711 && lease.owner.pid == getpid() && lease.owner.start == 99);
        CHECK_EQ(process_look(&lease.owner), PROCESS_UNSEEN);
        size_t size;
        log_name(name, 7);
        AUTO_FREE char *bytes = read_log(&world, name, &size);
        CHECK_EQ(memcmp(bytes, "mfl3", 4), 0);
        scratch_close(world.scratch);
        world.scratch = scratch_of(world.place);
    }
    world_end(&world);
}

static void test_a_large_unclaimed_tail_of_the_storage_is_harmless(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    scratch_close(world.scratch);
    int sessions_fd = world.place->store->sessions_fd;
    AUTO_FD int fd = openat(sessions_fd, "blocks", O_RDWR | O_CLOEXEC);
    CHECK_EQ(io_ftruncate(fd, (off_t)8 << 40), 0);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(!strcmp(logged, ""));
    check_marked(&world, "a", "mark-a");
    make_marked(&world, "b", "mark-b");
    world_reopen(&world);
    check_marked(&world, "a", "mark-a");
    check_marked(&world, "b", "mark-b");
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

static void test_damaged_logs_are_put_aside(void **state)
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
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(strstr(logged, name) && strstr(logged, "damaged") && strstr(logged, "not the bytes"));
    CHECK_EQ(stored_bytes(&world), 2 * 4096);
    check_listing(&world, "a z ");
    check_marked(&world, "a", "mark-a");
    check_marked(&world, "z", "mark-z");
    CHECK(!has_log(&world, name) && has_log(&world, aside));
    AUTO_FREE char *logged_again = world_reopen_logged(&world);
    CHECK(!strcmp(logged_again, ""));
    CHECK(has_log(&world, aside));
    check_marked(&world, "a", "mark-a");
    check_marked(&world, "z", "mark-z");
    world_end(&world);
}

static struct extent_record extent(uint32_t node, fileblock_t at, uint32_t count, block_t block)
{
    return (struct extent_record){
        .node = node, .at = at, .count = count, .block = block, .size_bytes = LARGE};
}

/* Each forged log is put aside without harm to the other sessions. */
static void test_forged_logs_are_put_aside(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a"); /* has block 0 */
    make_marked(&world, "b", "mark-b");
    discard(&world, "b"); /* had block 1, which is free now */
    uint32_t large = number_of(&world, "a", "large");
    uint32_t other = number_of(&world, "a", "d/e/f");
    enum { EXTENTS_MAX = 2 };
    const struct extent_record lies[][EXTENTS_MAX] = {
        {extent(large, 12, 1, 0)},                         /* another's */
        {extent(large, 1, 1, 1), extent(large, 12, 1, 0)}, /* that too, after a correct one */
        {extent(other, 1, 1, 1), extent(large, 12, 1, 0)},
        {extent(large, 1, 1, 1), extent(other, 12, 1, 0)},
        {extent(large, 1, 1, 1), extent(large, 2, 1, 1)}, /* twice its own */
        {extent(large, 12, 1, 100000)},                   /* never written */
        {extent(large, 12, 1, BLOCK_LIMIT - 1)},
        {extent(large, 0, 1 << 30, BLOCK_ZERO)}, /* zeros over nothing */
        {extent(4711, 12, 1, 1)},                /* of no session */
    };
    const size_t extent_lies = ARRAY_LENGTH(lies);
    for (size_t i = 0; i < extent_lies + 4; i++) {
        support_context("lie %zu", i);
        struct session_header header = header_for(&world, 2000 + i, "liar");
        if (i == extent_lies) /* a copy of a log under another name */
            header.serial = serial_of(&world, "a");
        else if (i == extent_lies + 1)
            (void)snprintf(header.id, sizeof(header.id), "../liar");
        else if (i == extent_lies + 2)
            header.key[5] = 'x';
        else if (i == extent_lies + 3)
            header.serial = 0;
        scratch_close(world.scratch);
        size_t count = i >= extent_lies ? 0 : lies[i][1].node ? 2 : 1;
        write_log(&world, 2000 + i, &header, i < extent_lies ? lies[i] : NULL, count);
        AUTO_FREE char *logged = world_open_logged(&world);
        CHECK(strstr(logged, "damaged"));
        check_listing(&world, "a ");
        check_marked(&world, "a", "mark-a");
        CHECK_EQ(stored_bytes(&world), 4096);
    }
    support_context("%s", "");
    discard(&world, "a");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/*
 * Two logs of the same ID, neither of which replaced the other: both sessions stay, one under
 * another ID.
 */
static void test_two_sessions_of_one_id_both_stay(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    scratch_close(world.scratch);
    struct session_header header = header_for(&world, 2000, "a");
    write_log(&world, 2000, &header, NULL, 0);
    AUTO_FREE char *logged = world_open_logged(&world);
    CHECK(strstr(logged, "is now a.2"));
    check_listing(&world, "a a.2 ");
    check_marked(&world, "a", "mark-a");
    AUTO_FREE char *logged_again = world_reopen_logged(&world);
    CHECK(!strcmp(logged_again, ""));
    check_listing(&world, "a a.2 ");
    discard(&world, "a");
    discard(&world, "a.2");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

/* The log of a session that was reset is put back: it does not end the one that replaced it, nor
 * does it come back under the same ID. */
static void test_an_old_log_does_not_replace_a_later_session(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "low", "mark-low");
    make_marked(&world, "x", "mark-x");
    make_marked(&world, "y", "mark-y");
    /*
     * y replaces x. If its log did not record which session it replaced, y would win over any
     * session called x.
     */
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "y", "x", 0), 0);
    char name[32];
    size_t size;
    log_name(name, serial_of(&world, "x"));
    AUTO_FREE char *bytes = read_log(&world, name, &size);
    CHECK_EQ(scratch_session_rename(world.scratch, world.key, "low", "x", 0), 0);
    scratch_close(world.scratch);
    CHECK_EQ(dir_write_file(world.logs_fd, name, bytes, size, 0600), 0);
    free(world_open_logged(&world));
    check_marked(&world, "x", "mark-low");
    world_end(&world);
}

/* A scratch that cannot be recovered is refused, and nothing in it is lost. */
static void test_a_later_version_is_refused(void **state)
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
        flip(&world, name, 3, '3' ^ '4');
        struct scratch *refused = NULL;
        stderr_capture();
        CHECK_EQ(scratch_open(world.place->store, &(struct scratch_options){0}, &refused),
                 -EPROTONOSUPPORT);
        AUTO_FREE char *logged = stderr_captured();
        CHECK(strstr(logged, name));
        flip(&world, name, 3, '3' ^ '4');
        AUTO_FREE char *said_then = world_open_logged(&world);
        CHECK(!strcmp(said_then, ""));
        check_marked(&world, "a", "mark-a");
        check_marked(&world, "b", "mark-b");
        check_marked(&world, "c", "mark-c");
    }
    world_end(&world);
}

/* Unfinished files of a killed daemon are removed without a message. */
static void test_unfinished_logs_are_removed(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    size_t size = 0;
    char name[32];
    log_name(name, serial_of(&world, "a"));
    AUTO_FREE char *bytes = read_log(&world, name, &size);
    CHECK_EQ(dir_write_file(world.logs_fd, "00000000000003e8.new", "", 0, 0600), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "00000000000003e9.new", bytes, 7, 0600), 0);
    CHECK_EQ(dir_write_file(world.logs_fd, "0000000000000001.new", bytes, size, 0600), 0);
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(!strcmp(logged, ""));
    check_listing(&world, "a ");
    CHECK(!has_log(&world, "00000000000003e8.new") && !has_log(&world, "00000000000003e9.new"));
    CHECK(!has_log(&world, "0000000000000001.new"));
    check_marked(&world, "a", "mark-a");
    world_end(&world);
}

/* A log is created with its first frame, so a log without one was truncated by another program. */
static void test_truncated_logs_are_reported(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_marked(&world, "a", "mark-a");
    size_t size;
    char name[32];
    log_name(name, serial_of(&world, "a"));
    AUTO_FREE char *bytes = read_log(&world, name, &size);
    static const size_t sizes[] = {0, 7, 100};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        char cut[32];
        char aside[64];
        log_name(cut, 1000 + i);
        (void)snprintf(aside, sizeof(aside), "%s.damaged", cut);
        CHECK_EQ(dir_write_file(world.logs_fd, cut, bytes, sizes[i], 0600), 0);
        AUTO_FREE char *logged = world_reopen_logged(&world);
        CHECK(strstr(logged, cut) && strstr(logged, "damaged"));
        CHECK(!has_log(&world, cut) && has_log(&world, aside));
        check_listing(&world, "a ");
        check_marked(&world, "a", "mark-a");
    }
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sessions_of_another_boot_are_discarded),
        TEST(test_sessions_of_an_evicted_template_are_discarded),
        TEST(test_sessions_of_a_rebuilt_template_are_discarded),
        TEST(test_logs_of_older_versions_are_rewritten),
        TEST(test_old_logs_that_share_a_block_are_put_aside),
        TEST(test_an_owner_in_an_old_log_is_not_taken_for_gone),
        TEST(test_a_large_unclaimed_tail_of_the_storage_is_harmless),
        TEST(test_damaged_logs_are_put_aside),
        TEST(test_forged_logs_are_put_aside),
        TEST(test_two_sessions_of_one_id_both_stay),
        TEST(test_an_old_log_does_not_replace_a_later_session),
        TEST(test_a_later_version_is_refused),
        TEST(test_unfinished_logs_are_removed),
        TEST(test_truncated_logs_are_reported),
    };
    return cmocka_run_group_tests_name("overlay-session-replay", tests, NULL, NULL);
}
