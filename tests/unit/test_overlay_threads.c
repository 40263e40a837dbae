/*
 * Covers all of fs/overlay with many threads, on one template and in one session. To be run under
 * ThreadSanitizer: scripts/tsan.
 */
#include "tests/unit/support_scratch.h"

#include <pthread.h>

#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

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
            CHECK_EQ(session_rewrite_log(node_session(root)), 0);
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
        workers[i] =
            (struct worker){.world = &world, .number = i, .bytes = malloc(LARGE), .size = LARGE};
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
    /* And the template is unchanged. */
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
        r = rng_chance(rng, 20) ? session_rewrite_log(node_session(root))
                                : session_compact(node_session(root));
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
        CHECK_EQ(file_open(node), 0);
        CHECK_EQ(file_write(node, bytes, sizeof(bytes), offset), 0);
        CHECK(file_read(node, bytes, sizeof(bytes), offset) >= 0);
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
            struct lower *lower = NULL;
            struct session_new_options options = {.mode = 0700};
            CHECK_EQ(scratch_lower(worker->world->scratch, worker->world->key, &lower), 0);
            CHECK_EQ(lower_verify(lower, NULL), 0);
            r = scratch_session_new(worker->world->scratch, lower, "s", &options, &root);
            lower_unref(lower);
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
    AUTO_FREE char *logged = world_reopen_logged(&world);
    CHECK(!strcmp(logged, ""));
    if (has_session(&world, "s"))
        discard(&world, "s");
    CHECK_EQ(stored_bytes(&world), 0);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_threads_on_one_template),
        TEST(test_threads_in_one_session),
    };
    return cmocka_run_group_tests_name("overlay-threads", tests, NULL, NULL);
}
