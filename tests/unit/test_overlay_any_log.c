/*
 * Covers session_replay, changelog_replay and scratch_recover: logs with random records and correct
 * checksums are either refused or give a session that works.
 */
#include "tests/unit/support_scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog_format.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_replay.h"

/* As in changelog_format.h: changes some of a frame's payload, and makes its sums right. */
static void mutate(struct rng *rng, char *bytes, size_t size, uint64_t owner)
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
        words[2] = frame_checksum(at ? owner : 0, at, payload, words[1]);
        words[3] = frame_checksum(at ? owner : 0, at, words, 12);
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

/* Reads everything, and removes some of it. */
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

static int lend_lower(const char *key, struct lower **ret_lower, void *context)
{
    struct lower *lower = context;
    if (strcmp(key, lower_key(lower)) != 0)
        return -ENOENT;
    *ret_lower = lower_ref(lower);
    return 0;
}

/* A copy of the scratch's file, which a log that was tried may have changed. */
static int copy_of(int sessions_fd, const char *name, int dirfd)
{
    AUTO_FD int from = openat(sessions_fd, name, O_RDONLY | O_CLOEXEC);
    int to = io_openat(dirfd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(to >= 0);
    CHECK_EQ(io_copy_file(from, to), 0);
    return to;
}

/*
 * Recovers a log of these bytes, and uses the session, if there is one. Returns the result of
 * recovery.
 */
static int try_log(const struct place *place, struct lower *lower, const char *boot_id,
                   const char *bytes, size_t size, struct rng *rng)
{
    AUTO_FD int dirfd = dir_ensure(place->fd, "logs", 0700);
    CHECK_EQ(dir_remove_tree(dirfd, "0000000000000001"), 0);
    AUTO_FD int log = io_openat(dirfd, "0000000000000001", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(log >= 0);
    CHECK_EQ(io_pwrite(log, bytes, size, 0), 0);
    struct owners *owners = NULL;
    struct blocks *blocks = NULL;
    int fd = copy_of(place->store->sessions_fd, "blocks", place->fd);
    CHECK_EQ(owners_open(copy_of(place->store->sessions_fd, "owners", place->fd), &owners), 0);
    CHECK_EQ(blocks_new(fd, owners, &blocks), 0);
    struct session_list list = {.reserve_fd = -1};
    CHECK_EQ(pthread_mutex_init(&list.mutex, NULL), 0);
    struct recovery recovery = {.list = &list,
                                .dirfd = dirfd,
                                .name = "0000000000000001",
                                .blocks = blocks,
                                .boot_id = boot_id,
                                .find_lower = lend_lower,
                                .context = lower};
    struct session *session = NULL;
    int r = session_recover(&recovery, &session);
    if (r == 0) {
        struct node *root = session->root;
        node_ref(root);
        walk_tree(root, rng, 0);
        CHECK_EQ(session_rewrite_log(session), 0);
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
            CHECK_EQ(session_rewrite_log(node_session(root)), 0);
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
    struct lower *lower;
    char boot_id[BOOT_ID_SIZE + 1];
    uint64_t owner;
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
            mutate(rng, mutated, fuzz->size, fuzz->owner);
        int r = try_log(fuzz->place, fuzz->lower, fuzz->boot_id, mutated, fuzz->size, rng);
        CHECK(i > 0 || r == 0);
        CHECK(r == 0 || r == -EBADMSG || r == -ENOENT || r == -ESTALE || r == -EXDEV);
        fuzz->accepted += r == 0;
    }
}

static void test_a_log_with_correct_checksums_works_or_is_refused(void **state)
{
    struct world world;
    world_begin(&world, *state);
    make_eventful(&world);
    struct fuzz fuzz = {.place = *state};
    read_boot_id(fuzz.boot_id);
    char name[32];
    log_name(name, serial_of(&world, "s"));
    CHECK_EQ(serial_of(&world, "s"), 1);
    CHECK_EQ(scratch_lower(world.scratch, world.key, &fuzz.lower), 0);
    CHECK_EQ(dir_read_file(world.logs_fd, name, 1 << 20, &fuzz.bytes, &fuzz.size), 0);
    fuzz.owner = owner_of(&world, "s");
    support_each_seed(10, run_fuzz, &fuzz);
    CHECK(fuzz.accepted > 10);
    lower_unref(fuzz.lower);
    free(fuzz.bytes);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_log_with_correct_checksums_works_or_is_refused),
    };
    return cmocka_run_group_tests_name("overlay-any-log", tests, NULL, NULL);
}
