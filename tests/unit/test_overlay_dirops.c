/*
 * Names in a session: single cases that the random test in test_overlay_tree.c may miss, and
 * listings that are read piece by piece.
 */
#include "tests/unit/support.h"

#include <linux/fs.h>

#include "fs/overlay/changelog_record.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

static const struct sample samples[] = {
    {.path = "n0", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n0", .type = ENTRY_FILE, .mode = 0644, .size = 5001},
    {.path = "n0/n1", .type = ENTRY_DIRECTORY, .mode = 0750},
    {.path = "n0/n1/n0", .type = ENTRY_DIRECTORY, .mode = 0711},
    {.path = "n0/n1/n0/n0", .type = ENTRY_FILE, .mode = 0400, .size = 1},
    {.path = "n0/n1/n0/n1", .type = ENTRY_FILE, .mode = 0600, .size = 4096},
    {.path = "n0/n1/n0/n2", .type = ENTRY_DIRECTORY, .mode = 0777},
    {.path = "n0/n1/n0/n2/n0", .type = ENTRY_FILE, .mode = 0640, .size = 4097},
    {.path = "n0/n1/n1", .type = ENTRY_FILE, .mode = 0644, .size = 8191},
    {.path = "n0/n1/n2", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n2", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n0/n2/n0", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "n2", .type = ENTRY_FILE, .mode = 0444, .size = 9999},
    {.path = "n3", .type = ENTRY_SYMLINK, .mode = 0777, .target = "n0"},
};

struct small {
    struct place *place;
    struct scratch *scratch;
    char key[SHA256_HEX_LENGTH + 1];
    struct node *root;
};

static void small_begin(struct small *small, struct place *place)
{
    *small = (struct small){.place = place};
    place_template(place, samples, ARRAY_LENGTH(samples), small->key);
    small->scratch = scratch_of(place);
    small->root = session_made(small->scratch, small->key, "s");
}

static void small_reopen(struct small *small)
{
    node_unref(small->root, 1);
    scratch_close(small->scratch);
    small->scratch = scratch_of(small->place);
    small->root = session_found(small->scratch, small->key, "s");
}

static void small_end(struct small *small)
{
    node_unref(small->root, 1);
    scratch_close(small->scratch);
}

/* The inode number of the node at a path, after checking its link count; 0 if there is none. */
static uint64_t ino_at(const struct small *small, const char *path, nlink_t expected_links)
{
    int error = 0;
    struct node *node = node_at(small->root, path, &error);
    if (!node)
        return 0;
    struct stat status;
    node_stat(node, &status);
    node_unref(node, 1);
    CHECK_EQ(status.st_nlink, expected_links);
    return status.st_ino;
}

static void rename_paths(const struct small *small, const char *from_directory, const char *from,
                         const char *to_directory, const char *to, unsigned flags)
{
    struct node *a = node_there(small->root, from_directory);
    struct node *b = node_there(small->root, to_directory);
    CHECK_EQ(session_rename(a, from, b, to, flags), 0);
    node_unref(a, 1);
    node_unref(b, 1);
}

static void remove_path(const struct small *small, const char *directory, const char *name,
                        bool is_directory)
{
    struct node *node = node_there(small->root, directory);
    CHECK_EQ(is_directory ? session_rmdir(node, name) : session_unlink(node, name), 0);
    node_unref(node, 1);
}

static void test_exchanged_directories_come_back(void **state)
{
    struct small small;
    small_begin(&small, *state);
    uint64_t n1 = ino_at(&small, "n0/n1", 4);
    uint64_t n2 = ino_at(&small, "n0/n2", 3);
    rename_paths(&small, "n0", "n1", "n0", "n2", RENAME_EXCHANGE);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(ino_at(&small, "n0/n2", 4), n1);
        CHECK_EQ(ino_at(&small, "n0/n1", 3), n2);
        CHECK(ino_at(&small, "n0/n2/n0/n2/n0", 1));
        if (round == 1)
            CHECK_EQ(session_rewrite_log(node_session(small.root)), 0);
        small_reopen(&small);
    }
    small_end(&small);
}

/*
 * Nodes that were moved, at different depths, out of template directories that are removed later.
 */
static void test_nodes_moved_out_of_a_removed_directory_are_recovered(void **state)
{
    struct small small;
    small_begin(&small, *state);
    rename_paths(&small, "n0/n1/n0", "n2", "", "deep", 0);
    remove_path(&small, "deep", "n0", false);
    rename_paths(&small, "n0/n1", "n1", "", "file", 0);
    rename_paths(&small, "n0/n1/n0", "n1", "deep", "other", 0);
    uint64_t deep = ino_at(&small, "deep", 2);
    uint64_t file = ino_at(&small, "file", 1);
    uint64_t other = ino_at(&small, "deep/other", 1);
    struct node *node = node_there(small.root, "file");
    CHECK_EQ(file_write(node, "changed", 7, 5000), 0);
    node_unref(node, 1);
    remove_path(&small, "n0/n1/n0", "n0", false);
    remove_path(&small, "n0/n1", "n0", true);
    remove_path(&small, "n0/n1", "n2", true);
    remove_path(&small, "n0", "n1", true);
    for (int round = 0; round < 4; round++) {
        support_context("round %d", round);
        CHECK_EQ(ino_at(&small, "deep", 2), deep);
        CHECK_EQ(ino_at(&small, "file", 1), file);
        CHECK_EQ(ino_at(&small, "deep/other", 1), other);
        CHECK_EQ(ino_at(&small, "deep/n0", 1), 0);
        CHECK_EQ(ino_at(&small, "n0/n1", 1), 0);
        CHECK(ino_at(&small, "n0", 3));
        if (round != 2)
            CHECK_EQ(session_rewrite_log(node_session(small.root)), 0);
        small_reopen(&small);
    }
    /* Nothing is left after the last name is removed. */
    remove_path(&small, "", "file", false);
    CHECK_EQ(session_bytes(node_session(small.root)), 0);
    support_context("%s", "");
    small_end(&small);
}

/* A file without names cannot get one again, as with linkat(2); otherwise its records would mix. */
static void test_a_removed_node_cannot_be_linked_again(void **state)
{
    struct small small;
    small_begin(&small, *state);
    static const char *const names[] = {"n2", "made", "n3"};
    struct node *made = file_made(small.root, "made");
    node_unref(made, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct node *node = node_there(small.root, names[i]);
        CHECK_EQ(session_unlink(small.root, names[i]), 0);
        CHECK_EQ(session_link(node, small.root, "again"), -ENOENT);
        node_unref(node, 1);
    }
    struct node_new how = {.mode = S_IFREG | 0600};
    struct node *node = NULL;
    CHECK_EQ(session_make(small.root, NULL, &how, &node), 0);
    CHECK_EQ(session_link(node, small.root, "first"), 0);
    CHECK_EQ(session_unlink(small.root, "first"), 0);
    CHECK_EQ(session_link(node, small.root, "second"), -ENOENT);
    node_unref(node, 1);
    small_end(&small);
}

static void check_owner(const struct small *small, const char *path, uid_t uid, gid_t gid)
{
    struct node *node = node_there(small->root, path);
    struct stat status;
    node_stat(node, &status);
    node_unref(node, 1);
    CHECK_EQ(status.st_uid, uid);
    CHECK_EQ(status.st_gid, gid);
}

/* The template's files are the maker's, whether they were looked at before or not. */
static void test_template_files_belong_to_the_user_of_the_session(void **state)
{
    struct small small;
    small_begin(&small, *state);
    check_owner(&small, "n0/n0", geteuid(), getegid());
    const struct stat other = {.st_uid = 4321, .st_gid = 1234};
    CHECK_EQ(node_set(small.root, &other, NODE_SET_UID | NODE_SET_GID), 0);
    for (int round = 0; round < 3; round++) {
        check_owner(&small, "", 4321, 1234);
        check_owner(&small, "n0/n0", geteuid(), getegid());
        check_owner(&small, "n2", geteuid(), getegid());
        if (round)
            CHECK_EQ(session_rewrite_log(node_session(small.root)), 0);
        small_reopen(&small);
    }
    small_end(&small);
}

static void test_unusual_names_work_and_long_ones_are_refused(void **state)
{
    struct small small;
    small_begin(&small, *state);
    char longest[NAME_BYTES_MAX + 2];
    memset(longest, 'l', NAME_BYTES_MAX + 1);
    longest[NAME_BYTES_MAX + 1] = '\0';
    struct node *node = NULL;
    struct node_new how = {.mode = S_IFREG | 0600};
    CHECK_EQ(session_make(small.root, longest, &how, &node), -ENAMETOOLONG);
    CHECK_EQ(session_lookup(small.root, longest, &node), -ENAMETOOLONG);
    CHECK_EQ(session_unlink(small.root, longest), -ENAMETOOLONG);
    CHECK_EQ(session_rename(small.root, "n2", small.root, longest, 0), -ENAMETOOLONG);
    longest[NAME_BYTES_MAX] = '\0';
    node_unref(file_made(small.root, longest), 1);
    for (int c = 1; c < 256; c++) {
        char name[] = {(char)c, '\n', (char)c, '\0'};
        if (c != '/')
            node_unref(file_made(small.root, name), 1);
    }
    char target[TARGET_BYTES_MAX + 2];
    memset(target, 't', sizeof(target));
    target[TARGET_BYTES_MAX + 1] = '\0';
    struct node_new link = {.mode = S_IFLNK | 0777, .target = target};
    CHECK_EQ(session_make(small.root, "link", &link, &node), -ENAMETOOLONG);
    target[TARGET_BYTES_MAX] = '\0';
    CHECK_EQ(session_make(small.root, "link", &link, &node), 0);
    node_unref(node, 1);
    for (int round = 0; round < 2; round++) {
        CHECK(ino_at(&small, longest, 1));
        for (int c = 1; c < 256; c++) {
            char name[] = {(char)c, '\n', (char)c, '\0'};
            if (c != '/')
                CHECK(ino_at(&small, name, 1));
        }
        node = node_there(small.root, "link");
        CHECK(!strcmp(node_target(node), target));
        node_unref(node, 1);
        small_reopen(&small);
    }
    small_end(&small);
}

/* ---- listing piece by piece ---- */

enum { SURVIVORS = 60, OTHERS = 60 };

struct reading {
    char seen[SURVIVORS];
    bool is_new[OTHERS]; /* created after the first entry was read */
    unsigned limit;
    unsigned count;
    uint64_t cookie;
};

static bool read_entry(const char *name, uint64_t ino UNUSED, mode_t type UNUSED, uint64_t cookie,
                       void *context)
{
    struct reading *reading = context;
    if (reading->count == reading->limit)
        return false;
    reading->count++;
    reading->cookie = cookie;
    unsigned long number = strtoul(name + 1, NULL, 10);
    if (name[0] == 's')
        CHECK_EQ(reading->seen[number]++, 0);
    if (name[0] == 'o')
        CHECK(!reading->is_new[number]);
    return true;
}

static void set_name(char name[16], char kind, unsigned number)
{
    (void)snprintf(name, 16, "%c%02u", kind, number);
}

/* Names that begin with "s" stay there, whatever they come to stand for; others come and go. */
static void disturb(struct node *directory, struct rng *rng, struct reading *reading)
{
    char survivor[16];
    char another[16];
    char other[16];
    unsigned number = (unsigned)rng_below(rng, OTHERS);
    set_name(survivor, 's', (unsigned)rng_below(rng, SURVIVORS));
    set_name(another, 's', (unsigned)rng_below(rng, SURVIVORS));
    set_name(other, 'o', number);
    struct node *node = NULL;
    struct node_new how = {.mode = S_IFREG | 0600};
    int r;
    switch (rng_below(rng, 6)) {
    case 0:
    case 1:
        r = session_make(directory, other, &how, &node);
        if (r == 0) {
            node_unref(node, 1);
            reading->is_new[number] = reading->cookie > COOKIE_PARENT;
        }
        CHECK(r == 0 || r == -EEXIST);
        break;
    case 2:
        r = session_unlink(directory, other);
        CHECK(r == 0 || r == -ENOENT);
        break;
    case 3:
        r = session_rename(directory, other, directory, survivor, 0);
        CHECK(r == 0 || r == -ENOENT);
        break;
    case 4:
        CHECK_EQ(session_rename(directory, survivor, directory, another, RENAME_EXCHANGE), 0);
        break;
    default:
        r = session_rename(directory, other, directory, survivor, RENAME_EXCHANGE);
        CHECK(r == 0 || r == -ENOENT);
        break;
    }
}

static void run_reading(struct rng *rng, void *context)
{
    struct sample many[SURVIVORS / 2 + OTHERS / 2 + 1];
    char paths[ARRAY_LENGTH(many)][16];
    size_t count = 0;
    for (unsigned i = 0; i < SURVIVORS; i += 2)
        set_name(paths[count++] + 2, 's', i);
    for (unsigned i = 0; i < OTHERS; i += 2)
        set_name(paths[count++] + 2, 'o', i);
    for (size_t i = 0; i < count; i++) {
        memcpy(paths[i], "d/", 2);
        many[i] = (struct sample){.path = paths[i], .type = ENTRY_FILE, .mode = 0644};
    }
    many[count++] = (struct sample){.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755};
    char key[SHA256_HEX_LENGTH + 1];
    place_template(context, many, count, key);
    struct scratch *scratch = scratch_of(context);
    struct node *root = session_made(scratch, key, "s");
    struct node *directory = node_there(root, "d");
    for (unsigned i = 1; i < SURVIVORS; i += 2) {
        char name[16];
        set_name(name, 's', i);
        node_unref(file_made(directory, name), 1);
    }
    for (int round = 0; round < 60; round++) {
        struct reading reading = {0};
        do {
            reading.count = 0;
            reading.limit = 1 + (unsigned)rng_below(rng, 7);
            session_readdir(directory, reading.cookie, read_entry, &reading);
            for (uint64_t i = rng_below(rng, 12); i > 0; i--)
                disturb(directory, rng, &reading);
        } while (reading.count > 0);
        for (unsigned i = 0; i < SURVIVORS; i++)
            CHECK_EQ(reading.seen[i], 1);
    }
    node_unref(directory, 1);
    node_unref(root, 1);
    CHECK_EQ(scratch_session_discard(scratch, key, "s"), 0);
    scratch_close(scratch);
}

static void test_a_listing_can_be_read_piece_by_piece(void **state)
{
    support_each_seed(10, run_reading, *state);
}

/* ---- a program that changes the directory that it reads ---- */

struct one_entry {
    char name[NAME_BYTES_MAX + 1];
    uint64_t cookie;
};

static bool copy_entry(const char *name, uint64_t ino UNUSED, mode_t type UNUSED, uint64_t cookie,
                       void *context)
{
    struct one_entry *one = context;
    if (one->name[0])
        return false;
    (void)snprintf(one->name, sizeof(one->name), "%s", name);
    one->cookie = cookie;
    return true;
}

static void test_renaming_each_name_that_is_read_ends(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *directory = node_there(small.root, "n0/n1/n0");
    node_unref(file_made(directory, "made"), 1);
    node_unref(file_made(directory, "also"), 1);
    struct one_entry one = {.cookie = COOKIE_PARENT};
    unsigned renamed = 0;
    for (;;) {
        one.name[0] = '\0';
        session_readdir(directory, one.cookie, copy_entry, &one);
        if (!one.name[0])
            break;
        char longer[sizeof(one.name) + 4];
        (void)snprintf(longer, sizeof(longer), "%s.bak", one.name);
        CHECK_EQ(session_rename(directory, one.name, directory, longer, 0), 0);
        CHECK(++renamed <= 5);
    }
    CHECK_EQ(renamed, 5);
    static const char *const names[] = {"n0.bak", "n1.bak", "n2.bak", "made.bak", "also.bak"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        node_unref(node_there(directory, names[i]), 1);
    node_unref(directory, 1);
    small_end(&small);
}

/* As after two billion names: all cookies change, and the listing is whole. */
static void test_a_listing_survives_used_up_cookies(void **state)
{
    struct small small;
    small_begin(&small, *state);
    struct node *directory = node_there(small.root, "n0/n1/n0");
    directory->directory->added.next = COOKIE_FIRST + 2;
    for (unsigned i = 0; i < SURVIVORS; i++) {
        char name[16];
        set_name(name, 's', i);
        node_unref(file_made(directory, name), 1);
        struct reading reading = {.limit = UINT32_MAX};
        session_readdir(directory, 0, read_entry, &reading);
        CHECK_EQ(reading.count, 2 + 3 + i + 1);
        for (unsigned k = 0; k <= i; k++)
            CHECK_EQ(reading.seen[k], 1);
    }
    node_unref(directory, 1);
    small_end(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exchanged_directories_come_back),
        TEST(test_nodes_moved_out_of_a_removed_directory_are_recovered),
        TEST(test_a_removed_node_cannot_be_linked_again),
        TEST(test_template_files_belong_to_the_user_of_the_session),
        TEST(test_unusual_names_work_and_long_ones_are_refused),
        TEST(test_a_listing_can_be_read_piece_by_piece),
        TEST(test_renaming_each_name_that_is_read_ends),
        TEST(test_a_listing_survives_used_up_cookies),
    };
    return cmocka_run_group_tests_name("overlay-names", tests, NULL, NULL);
}
