/*
 * Every Nth call fails, once and from then on, until nothing fails: a call that fails leaves things
 * as they were, in memory and after a restart; others notice nothing; and it works afterwards.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <zlib.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/copies.h"
#include "fs/overlay/node.h"

static const struct sample samples[] = {
    {.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e/f", .type = ENTRY_FILE, .mode = 0644, .size = 10001},
    {.path = "d/g", .type = ENTRY_FILE, .mode = 0644, .size = 1},
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 50001},
    {.path = "link", .type = ENTRY_SYMLINK, .mode = 0777, .target = "d"},
    {.path = "wal", .type = ENTRY_FILE, .mode = 0600, .size = 5000, .wal = true},
};

struct world {
    struct place *place;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root; /* of the session "s", in which things fail */
};

/* ---- a session as text ---- */

struct names {
    char names[64][NAME_BYTES_MAX + 1];
    unsigned count;
};

static bool gather(const char *name, uint64_t ino UNUSED, mode_t type UNUSED,
                   uint64_t cookie UNUSED, void *context)
{
    struct names *names = context;
    CHECK(names->count < ARRAY_LENGTH(names->names));
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        (void)snprintf(names->names[names->count++], NAME_BYTES_MAX + 1, "%s", name);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void describe_node(FILE *stream, struct node *node, const char *path);

static void describe_directory(FILE *stream, struct node *directory, const char *path)
{
    AUTO_FREE struct names *names = calloc(1, sizeof(*names));
    CHECK(names);
    session_readdir(directory, 0, gather, names);
    qsort(names->names, names->count, sizeof(*names->names), compare_names);
    for (unsigned i = 0; i < names->count; i++) {
        char child_path[1024];
        struct node *node = NULL;
        (void)snprintf(child_path, sizeof(child_path), "%s/%s", path, names->names[i]);
        CHECK_EQ(session_lookup(directory, names->names[i], &node), 0);
        describe_node(stream, node, child_path);
        node_unref(node, 1);
    }
}

static void describe_node(FILE *stream, struct node *node, const char *path)
{
    struct stat status;
    node_stat(node, &status);
    (void)fprintf(stream, "%s %o %lu %u %u ", path, status.st_mode, (unsigned long)status.st_nlink,
                  status.st_uid, status.st_gid);
    if (S_ISREG(status.st_mode)) {
        AUTO_FREE char *bytes = malloc((size_t)status.st_size + 1);
        CHECK(bytes);
        CHECK_EQ(file_read(node, bytes, (size_t)status.st_size + 1, 0), status.st_size);
        (void)fprintf(stream, "%ld %lx", (long)status.st_size,
                      (unsigned long)crc32_z(0, (const Bytef *)bytes, (size_t)status.st_size));
    } else if (S_ISLNK(status.st_mode)) {
        (void)fputs(node_target(node), stream);
    }
    (void)fputc('\n', stream);
    if (S_ISDIR(status.st_mode))
        describe_directory(stream, node, path);
}

/* "" where there is no such session. */
static char *describe(const struct world *world, const char *id)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream);
    struct node *root = NULL;
    if (scratch_session_find(world->scratch, world->key, id, &root) == 0) {
        describe_node(stream, root, "");
        node_unref(root, 1);
    }
    CHECK_EQ(fclose(stream), 0);
    return text;
}

/* ---- running ---- */

struct scene {
    const char *name;
    /* What is there before; the session "s" is made already. */
    void (*prepare)(struct world *world);
    /* The call that is to fail. */
    int (*act)(struct world *world);
    /* A failure may come when a part is done: what is there then is neither old nor new. */
    bool may_stop_halfway;
    /* It is the same afterwards, whatever happens. */
    bool changes_nothing;
    /* Where even the undoing fails, which of the two it is shows after a restart. */
    bool may_be_in_doubt;
};

static void open_world(struct world *world)
{
    world->scratch = scratch_of(world->place);
}

static void close_world(struct world *world)
{
    if (world->root)
        node_unref(world->root, 1);
    world->root = NULL;
    scratch_close(world->scratch);
    world->scratch = NULL;
}

static void prepare(struct world *world, const struct scene *scene)
{
    world->root = session_made(world->scratch, world->key, "s");
    if (scene->prepare)
        scene->prepare(world);
}

static void discard(struct world *world)
{
    if (world->root)
        node_unref(world->root, 1);
    world->root = NULL;
    int r = scratch_session_discard(world->scratch, world->key, "s");
    CHECK(r == 0 || r == -ENOENT);
    r = scratch_session_discard(world->scratch, world->key, "fresh");
    CHECK(r == 0 || r == -ENOENT);
}

static uint64_t stored_bytes(const struct world *world)
{
    struct scratch_counts counts;
    scratch_count(world->scratch, &counts);
    return counts.stored_bytes;
}

static void check_text(const char *text, const char *expected)
{
    if (strcmp(text, expected) != 0)
        support_fail(__FILE__, __LINE__, "there is:\n%s\nnot:\n%s", text, expected);
}

struct expected {
    char *before;
    char *after;
    char *bystander;
};

static void expected_fini(struct expected *expected)
{
    free(expected->before);
    free(expected->after);
    free(expected->bystander);
}

/* One run with the Nth call failing. Whether it came to that. */
static bool fail_at(struct world *world, const struct scene *scene, unsigned long nth, int error,
                    bool sticky, const struct expected *expected)
{
    prepare(world, scene);
    said_begin();
    io_fault_arm(nth, error, sticky);
    int r = scene->act(world);
    unsigned long calls = io_fault_count();
    io_fault_arm(0, 0, false);
    if (!world->scratch)
        open_world(world);
    AUTO_FREE char *said_then = said_end();
    if (r != 0 && r != -error)
        support_fail(__FILE__, __LINE__, "%d, and it said: %s", r, said_then);
    AUTO_FREE char *now = describe(world, "s");
    if (r == 0 || scene->changes_nothing)
        check_text(now, r == 0 ? expected->after : expected->before);
    else if (!scene->may_stop_halfway)
        check_text(now, expected->before);
    AUTO_FREE char *bystander = describe(world, "b");
    if (strcmp(bystander, expected->bystander) != 0)
        support_fail(__FILE__, __LINE__, "another session suffered; it said: %s", said_then);

    uint64_t bytes = stored_bytes(world);
    /* What is there is there after a restart too, and nothing is said of damage. */
    close_world(world);
    said_begin();
    open_world(world);
    AUTO_FREE char *said = said_end();
    check_text(said, "");
    AUTO_FREE char *then = describe(world, "s");
    bool was_in_doubt = scene->may_be_in_doubt && sticky && !strcmp(then, expected->after);
    if (!was_in_doubt) {
        check_text(then, now);
        CHECK_EQ(stored_bytes(world), bytes);
    }
    AUTO_FREE char *bystander_then = describe(world, "b");
    check_text(bystander_then, expected->bystander);

    discard(world);
    return calls >= nth;
}

static void run_scene(struct place *place, const struct scene *scene)
{
    struct world world = {.place = place};
    place_template(place, samples, ARRAY_LENGTH(samples), world.key);
    open_world(&world);
    CLEANUP(expected_fini) struct expected expected = {0};
    struct node *other = session_made(world.scratch, world.key, "b");
    struct node *file = node_there(other, "large");
    CHECK_EQ(file_write(file, "bystander", 9, 12345), 0);
    node_unref(file, 1);
    node_unref(directory_made(other, "made"), 1);
    node_unref(other, 1);
    expected.bystander = describe(&world, "b");
    uint64_t bystander_bytes = stored_bytes(&world);

    prepare(&world, scene);
    expected.before = describe(&world, "s");
    CHECK_EQ(scene->act(&world), 0);
    if (!world.scratch)
        open_world(&world);
    expected.after = describe(&world, "s");
    discard(&world);

    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            unsigned long nth = 0;
            do {
                nth++;
                CHECK(nth < 1000);
                support_context("%s: %s at call %lu%s", scene->name, strerror(errors[i]), nth,
                                sticky ? " and all later" : "");
            } while (fail_at(&world, scene, nth, errors[i], sticky, &expected));
            CHECK(nth > 1);
            CHECK_EQ(stored_bytes(&world), bystander_bytes);
        }
    }
    support_context("%s", "");
    CHECK_EQ(scratch_session_discard(world.scratch, world.key, "b"), 0);
    CHECK_EQ(stored_bytes(&world), 0);
    close_world(&world);
}

/* ---- bytes ---- */

static int write_large(struct world *world, size_t size, uint64_t offset)
{
    char bytes[40000];
    memset(bytes, 'w', sizeof(bytes));
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    r = file_write(node, bytes, size, offset);
    node_unref(node, 1);
    return r;
}

static int act_copy_up(struct world *world)
{
    return write_large(world, 20000, 5001);
}

static int act_append(struct world *world)
{
    return write_large(world, 10000, 50001);
}

static int act_write_behind_the_end(struct world *world)
{
    return write_large(world, 10000, 70001);
}

static void store_the_tail(struct world *world)
{
    CHECK_EQ(write_large(world, 10, 49990), 0);
}

/* Each second block is stored already: what is overwritten in place comes last. */
static void store_some(struct world *world)
{
    for (uint64_t at = 8192; at < 40000; at += 8192)
        CHECK_EQ(write_large(world, 4096, at), 0);
}

static int act_write_over_all(struct world *world)
{
    return write_large(world, 40000, 5001);
}

static int set_size(struct world *world, off_t size)
{
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    const struct stat to = {.st_size = size};
    r = node_set(node, &to, NODE_SET_SIZE);
    node_unref(node, 1);
    return r;
}

static int act_cut(struct world *world)
{
    return set_size(world, 20001);
}

static int act_lengthen(struct world *world)
{
    return set_size(world, 80001);
}

static void store_and_cut(struct world *world)
{
    store_some(world);
    CHECK_EQ(set_size(world, 35001), 0);
}

static int allocate(struct world *world, int mode)
{
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    r = file_allocate(node, mode, 5001, 50000);
    node_unref(node, 1);
    return r;
}

static int act_allocate(struct world *world)
{
    return allocate(world, 0);
}

static int act_punch(struct world *world)
{
    return allocate(world, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static int act_zero(struct world *world)
{
    return allocate(world, FALLOC_FL_ZERO_RANGE);
}

static int act_read(struct world *world)
{
    char bytes[50001];
    struct node *node = NULL;
    int r = session_lookup(world->root, "large", &node);
    if (r < 0)
        return r;
    r = file_open(node);
    if (r == 0) {
        ssize_t n = file_read(node, bytes, sizeof(bytes), 0);
        r = n < 0 ? (int)n : n == (ssize_t)sizeof(bytes) ? 0 : -EPROTO;
        file_close(node);
    }
    node_unref(node, 1);
    return r;
}

static void test_bytes(void **state)
{
    static const struct scene scenes[] = {
        {.name = "copy up", .act = act_copy_up},
        {.name = "append", .act = act_append},
        {.name = "append to a stored block", .prepare = store_the_tail, .act = act_append},
        {.name = "write behind the end",
         .prepare = store_the_tail,
         .act = act_write_behind_the_end},
        {.name = "write over all",
         .prepare = store_some,
         .act = act_write_over_all,
         .may_stop_halfway = true},
        {.name = "cut", .prepare = store_some, .act = act_cut},
        {.name = "cut what is unchanged", .act = act_cut},
        {.name = "lengthen", .prepare = store_and_cut, .act = act_lengthen},
        {.name = "allocate", .prepare = store_some, .act = act_allocate, .may_stop_halfway = true},
        {.name = "punch", .prepare = store_some, .act = act_punch, .may_stop_halfway = true},
        {.name = "zero", .prepare = store_some, .act = act_zero, .may_stop_halfway = true},
        {.name = "read", .prepare = store_some, .act = act_read, .changes_nothing = true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++)
        run_scene(*state, &scenes[i]);
}

/*
 * A write that stops halfway has each block old or new; and it can stop halfway only behind its
 * record, since what it overwrites in place comes last.
 */
static void test_half_a_write(void **state)
{
    enum { IN_PLACE = 4 }; /* runs of blocks that store_some() stores in the range */
    struct world world = {.place = *state};
    place_template(*state, samples, ARRAY_LENGTH(samples), world.key);
    open_world(&world);
    AUTO_FREE char *before = malloc(50001);
    AUTO_FREE char *now = malloc(50001);
    CHECK(before && now);
    unsigned long all_calls = 0; /* of a write that succeeds; the first only counts them */
    for (unsigned long nth = 0; nth <= all_calls; nth++) {
        support_context("call %lu", nth);
        world.root = session_made(world.scratch, world.key, "s");
        store_some(&world);
        struct node *node = node_there(world.root, "large");
        CHECK_EQ(file_read(node, before, 50001, 0), 50001);
        char bytes[40000];
        memset(bytes, 'x', sizeof(bytes));
        io_fault_arm(nth, nth ? EIO : -1, true);
        int r = file_write(node, bytes, sizeof(bytes), 5001);
        if (nth == 0)
            all_calls = io_fault_count();
        io_fault_arm(0, 0, false);
        CHECK_EQ(r, nth ? -EIO : 0);
        CHECK_EQ(file_read(node, now, 50001, 0), 50001);
        if (nth > 0 && nth <= all_calls - IN_PLACE)
            CHECK(!memcmp(now, before, 50001));
        for (size_t at = 0; at < 50001; at += BLOCK_SIZE_BYTES) {
            size_t size = 50001 - at < BLOCK_SIZE_BYTES ? 50001 - at : BLOCK_SIZE_BYTES;
            bool same = !memcmp(now + at, before + at, size);
            for (size_t i = at; !same && i < at + size; i++)
                CHECK_EQ(now[i], i >= 5001 && i < 45001 ? 'x' : before[i]);
        }
        node_unref(node, 1);
        discard(&world);
    }
    CHECK(all_calls > IN_PLACE);
    close_world(&world);
}

/* ---- names ---- */

static int act_make_file(struct world *world)
{
    struct node_new how = {.mode = S_IFREG | 0600};
    struct node *node = NULL;
    int r = session_make(world->root, "new", &how, &node);
    if (r == 0)
        node_unref(node, 1);
    return r;
}

static int act_make_link(struct world *world)
{
    struct node_new how = {.mode = S_IFLNK | 0777, .target = "target"};
    struct node *node = NULL;
    int r = session_make(world->root, "new", &how, &node);
    if (r == 0)
        node_unref(node, 1);
    return r;
}

static int act_link(struct world *world)
{
    struct node *node = node_there(world->root, "large");
    struct node *directory = node_there(world->root, "d");
    int r = session_link(node, directory, "hard");
    node_unref(node, 1);
    node_unref(directory, 1);
    return r;
}

/* A file that had no name gets one, and its blocks are recorded with it. */
static int act_link_nameless(struct world *world)
{
    struct node_new how = {.mode = S_IFREG | 0600};
    struct node *node = NULL;
    char bytes[10000] = "bytes";
    CHECK_EQ(session_make(world->root, NULL, &how, &node), 0);
    int r = file_write(node, bytes, sizeof(bytes), 100);
    if (r == 0)
        r = session_link(node, world->root, "new");
    node_unref(node, 1);
    return r;
}

static int act_unlink(struct world *world)
{
    return session_unlink(world->root, "large");
}

static int act_rmdir(struct world *world)
{
    return session_rmdir(world->root, "empty");
}

static void make_empty(struct world *world)
{
    node_unref(directory_made(world->root, "empty"), 1);
    store_some(world);
}

static int act_rename_directory(struct world *world)
{
    struct node *d = node_there(world->root, "d");
    int r = session_rename(d, "e", world->root, "empty", 0);
    node_unref(d, 1);
    return r;
}

static int act_exchange(struct world *world)
{
    struct node *d = node_there(world->root, "d");
    int r = session_rename(d, "e", world->root, "large", 2);
    node_unref(d, 1);
    return r;
}

static int act_rename_over(struct world *world)
{
    return session_rename(world->root, "wal", world->root, "large", 0);
}

static int act_chmod(struct world *world)
{
    struct node *d = node_there(world->root, "d");
    const struct stat to = {.st_mode = 0711};
    int r = node_set(d, &to, NODE_SET_MODE);
    node_unref(d, 1);
    return r;
}

static void make_eventful(struct world *world)
{
    make_empty(world);
    CHECK_EQ(act_link(world), 0);
    CHECK_EQ(act_exchange(world), 0);
    CHECK_EQ(act_make_link(world), 0);
    CHECK_EQ(session_unlink(world->root, "wal"), 0);
}

static int act_compact(struct world *world)
{
    return session_compact(node_session(world->root), true);
}

static void test_names(void **state)
{
    static const struct scene scenes[] = {
        {.name = "make a file", .act = act_make_file},
        {.name = "make a symbolic link", .act = act_make_link},
        {.name = "link", .prepare = store_some, .act = act_link},
        {.name = "link a nameless one", .act = act_link_nameless},
        {.name = "unlink", .prepare = store_some, .act = act_unlink},
        {.name = "rmdir", .prepare = make_empty, .act = act_rmdir},
        {.name = "rename over a directory", .prepare = make_empty, .act = act_rename_directory},
        {.name = "exchange", .prepare = make_empty, .act = act_exchange},
        {.name = "rename over a file", .prepare = store_some, .act = act_rename_over},
        {.name = "chmod", .act = act_chmod},
        {.name = "compact", .prepare = make_eventful, .act = act_compact, .changes_nothing = true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++)
        run_scene(*state, &scenes[i]);
}

/* ---- sessions ---- */

static void prepare_none(struct world *world)
{
    discard(world);
}

static int act_new(struct world *world)
{
    struct base *base = NULL;
    struct session_new_options options = {.mode = 0700, .uid = 1, .gid = 2};
    struct node *root = NULL;
    int r = scratch_base(world->scratch, world->key, &base);
    if (r < 0)
        return r;
    r = scratch_session_new(world->scratch, base, "s", &options, &root);
    base_unref(base);
    if (r == 0)
        node_unref(root, 1);
    return r;
}

static int act_discard(struct world *world)
{
    return scratch_session_discard(world->scratch, world->key, "s");
}

static void prepare_reset(struct world *world)
{
    make_eventful(world);
    node_unref(session_made(world->scratch, world->key, "fresh"), 1);
}

static int act_reset(struct world *world)
{
    return scratch_session_rename(world->scratch, world->key, "fresh", "s", true);
}

static int act_reopen(struct world *world)
{
    close_world(world);
    /* Closing may fail to tidy up; that is no error of anybody's. */
    return scratch_open(world->place->store, &(struct scratch_options){0}, &world->scratch);
}

static void test_sessions(void **state)
{
    static const struct scene scenes[] = {
        {.name = "make a session", .prepare = prepare_none, .act = act_new},
        {.name = "discard", .prepare = make_eventful, .act = act_discard},
        {.name = "recover", .prepare = make_eventful, .act = act_reopen, .changes_nothing = true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++)
        run_scene(*state, &scenes[i]);
}

static void test_reset(void **state)
{
    static const struct scene scene = {
        .name = "reset", .prepare = prepare_reset, .act = act_reset, .may_be_in_doubt = true};
    run_scene(*state, &scene);
}

/* ---- copies, which lie beside the scratch ---- */

static int count_copy(const struct copy *copy UNUSED, void *context)
{
    ++*(unsigned *)context;
    return 0;
}

static unsigned count_copies(const struct store *store)
{
    unsigned count = 0;
    CHECK_EQ(copies_each(store, count_copy, &count), 0);
    return count;
}

static void check_copy(const char *path)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        struct stat status;
        CHECK_EQ(fstatat(fd, samples[i].path, &status, AT_SYMLINK_NOFOLLOW), 0);
        if (samples[i].type == ENTRY_FILE) {
            AUTO_FREE char *expected = malloc(samples[i].size + 1);
            AUTO_FREE char *bytes = malloc(samples[i].size + 1);
            AUTO_FD int file = openat(fd, samples[i].path, O_RDONLY | O_CLOEXEC);
            CHECK(expected && bytes && file >= 0);
            sample_fill(samples[i].path, expected, samples[i].size);
            if (samples[i].wal)
                memset(expected + 18, 2, 2);
            CHECK_EQ(io_pread(file, bytes, samples[i].size + 1, 0), samples[i].size);
            CHECK(!memcmp(bytes, expected, samples[i].size));
            CHECK_EQ(status.st_mode & 07777, samples[i].mode | S_IWUSR);
        } else if (samples[i].type == ENTRY_DIRECTORY) {
            CHECK_EQ(status.st_mode & 07777, samples[i].mode | S_IRWXU);
        }
    }
}

/* Removes what copies leave in memory: the directories of this store alone. */
static void remove_copy_roots(const char *path)
{
    AUTO_FREE char *copy = strdup(path);
    CHECK(copy);
    for (int i = 0; i < 3; i++) {
        *strrchr(copy, '/') = '\0';
        (void)rmdir(copy);
    }
}

static void test_copies(void **state)
{
    struct place *place = *state;
    char key[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *root = NULL;
    place_template(place, samples, ARRAY_LENGTH(samples), key);
    mode_t mask = umask(022);
    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            for (unsigned long nth = 1;; nth++) {
                support_context("%s at call %lu%s", strerror(errors[i]), nth,
                                sticky ? " and all later" : "");
                char *path = NULL;
                bool first = false;
                said_begin();
                io_fault_arm(nth, errors[i], sticky);
                int r = copies_new(place->store, key, "id", &path, &first);
                unsigned long calls = io_fault_count();
                io_fault_arm(0, 0, false);
                AUTO_FREE char *said = said_end();
                CHECK(r == 0 || r == -errors[i]);
                CHECK((r == 0) == (path != NULL));
                CHECK(r == 0 || *said);
                CHECK_EQ(count_copies(place->store), r == 0);
                if (r < 0) {
                    CHECK_EQ(copies_new(place->store, key, "id", &path, &first), 0);
                } else {
                    said_begin();
                    char *second = NULL;
                    CHECK_EQ(copies_new(place->store, key, "id", &second, &first), -EEXIST);
                    free(said_end());
                }
                check_copy(path);
                CHECK_EQ(copies_remove(place->store, key, "id"), 0);
                CHECK_EQ(copies_remove(place->store, key, "id"), -ENOENT);
                CHECK_EQ(count_copies(place->store), 0);
                free(root);
                root = path;
                if (calls < nth)
                    break;
            }
        }
    }
    (void)umask(mask);
    remove_copy_roots(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes),    TEST(test_half_a_write), TEST(test_names),
        TEST(test_sessions), TEST(test_reset),        TEST(test_copies),
    };
    return cmocka_run_group_tests_name("overlay-faults", tests, NULL, NULL);
}
