/*
 * Covers dirops, scratch and session_table: every Nth call fails while names or whole sessions are
 * created and removed; see support_faults.h.
 */
#include "tests/unit/support_faults.h"

#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

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
    return session_rewrite_log(node_session(world->root));
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
    fault_discard(world);
}

static int act_new(struct world *world)
{
    struct lower *lower = NULL;
    struct session_new_options options = {.mode = 0700, .uid = 1, .gid = 2};
    struct node *root = NULL;
    int r = scratch_lower(world->scratch, world->key, &lower);
    if (r < 0)
        return r;
    r = lower_verify(lower, NULL);
    if (r == 0)
        r = scratch_session_new(world->scratch, lower, "s", &options, &root);
    lower_unref(lower);
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
    return scratch_session_rename(world->scratch, world->key, "fresh", "s", 0);
}

static int act_reopen(struct world *world)
{
    fault_close(world);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_sessions),
        TEST(test_reset),
    };
    return cmocka_run_group_tests_name("overlay-faults-names", tests, NULL, NULL);
}
