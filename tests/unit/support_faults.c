#include "tests/unit/support_faults.h"

#include <zlib.h>

#include "fs/base/io.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/overlay_internal.h"

const struct sample fault_samples[FAULT_SAMPLES] = {
    {.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e/f", .type = ENTRY_FILE, .mode = 0644, .size = 10001},
    {.path = "d/g", .type = ENTRY_FILE, .mode = 0644, .size = 1},
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 50001},
    {.path = "link", .type = ENTRY_SYMLINK, .mode = 0777, .target = "d"},
    {.path = "wal", .type = ENTRY_FILE, .mode = 0600, .size = 5000, .wal = true},
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

/* "" if there is no such session. */
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

void fault_open(struct world *world)
{
    world->scratch = scratch_of(world->place);
}

void fault_close(struct world *world)
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

void fault_discard(struct world *world)
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

/* Runs the scene with the Nth call failing. Returns whether there were N calls. */
static bool fail_at(struct world *world, const struct scene *scene, unsigned long nth, int error,
                    bool sticky, const struct expected *expected)
{
    prepare(world, scene);
    stderr_capture();
    io_fault_arm(nth, error, sticky);
    int r = scene->act(world);
    unsigned long calls = io_fault_count();
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    if (!world->scratch)
        fault_open(world);
    AUTO_FREE char *logged_by_call = stderr_captured();
    /* A table that cannot grow is one of the injected faults. */
    if (r != 0 && r != -error && r != -ENOMEM)
        support_fail(__FILE__, __LINE__, "%d, and it logged: %s", r, logged_by_call);
    AUTO_FREE char *now = describe(world, "s");
    if (r == 0 || scene->changes_nothing)
        check_text(now, r == 0 ? expected->after : expected->before);
    else if (!scene->may_stop_halfway)
        check_text(now, expected->before);
    AUTO_FREE char *bystander = describe(world, "b");
    if (strcmp(bystander, expected->bystander) != 0)
        support_fail(__FILE__, __LINE__, "another session changed; it logged: %s", logged_by_call);

    uint64_t bytes = stored_bytes(world);
    /* The same exists after a restart, and no damage is logged. */
    fault_close(world);
    stderr_capture();
    fault_open(world);
    AUTO_FREE char *logged = stderr_captured();
    check_text(logged, "");
    AUTO_FREE char *then = describe(world, "s");
    bool was_in_doubt = scene->may_be_in_doubt && sticky && !strcmp(then, expected->after);
    if (!was_in_doubt) {
        check_text(then, now);
        CHECK_EQ(stored_bytes(world), bytes);
    }
    AUTO_FREE char *bystander_then = describe(world, "b");
    check_text(bystander_then, expected->bystander);

    fault_discard(world);
    return calls >= nth;
}

void run_scene(struct place *place, const struct scene *scene)
{
    struct world world = {.place = place};
    place_template(place, fault_samples, ARRAY_LENGTH(fault_samples), world.key);
    fault_open(&world);
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
        fault_open(&world);
    expected.after = describe(&world, "s");
    fault_discard(&world);

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
    fault_close(&world);
}

/* ---- for scenes ---- */

int write_large(struct world *world, size_t size, uint64_t offset)
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

void store_some(struct world *world)
{
    for (uint64_t at = 8192; at < 40000; at += 8192)
        CHECK_EQ(write_large(world, 4096, at), 0);
}
