/*
 * The damage drill, over all of fs/overlay: sessions work, the scratch is closed or its daemon
 * "killed", its files are damaged in some way, and it is opened again. Then no session shows the
 * bytes of another, and each session whose files were not damaged still exists. MINTFS_TEST_SEEDS=N
 * runs more rounds (20 a seed); scripts/damage-drill does the same with real mounts.
 */
#include "tests/unit/support_scratch.h"

#include <dirent.h>
#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/overlay_internal.h"

enum {
    ROUNDS = 20,
    IDS = 6,
    FILES = 4,
    FILE_UNITS = 3000,
    SNAPSHOTS = 4,
    SCRATCH_FILES_MAX = 64,
    FILE_BYTES_MAX = 16 << 20,
};

/* Everything that is written consists of units that name their owner. */
struct unit {
    uint64_t magic;
    uint64_t owner;
};
static const uint64_t unit_magic = 0x2074696e75206e61;

/* ---- the scratch's files, kept and put back ---- */

struct kept_file {
    char name[64]; /* below the scratch */
    char *bytes;
    size_t size;
};

struct snapshot {
    struct kept_file files[SCRATCH_FILES_MAX];
    size_t count;
};

static void snapshot_fini(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++)
        free(snapshot->files[i].bytes);
    snapshot->count = 0;
}

static void keep_file(struct snapshot *snapshot, int scratch_fd, const char *name)
{
    CHECK(snapshot->count < SCRATCH_FILES_MAX);
    struct kept_file *kept = &snapshot->files[snapshot->count++];
    (void)snprintf(kept->name, sizeof(kept->name), "%s", name);
    CHECK_EQ(dir_read_file(scratch_fd, name, FILE_BYTES_MAX, &kept->bytes, &kept->size), 0);
}

static int keep_log(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    void **both = context;
    char path[48];
    (void)snprintf(path, sizeof(path), "logs/%.40s", name);
    if (strlen(name) == 16)
        keep_file(both[0], *(int *)both[1], path);
    return 0;
}

static void take_snapshot(const struct world *world, struct snapshot *ret_snapshot)
{
    int fd = world->place->store->sessions_fd;
    void *both[] = {ret_snapshot, &fd};
    snapshot_fini(ret_snapshot);
    keep_file(ret_snapshot, fd, "blocks");
    keep_file(ret_snapshot, fd, "owners");
    CHECK_EQ(dir_each(world->logs_fd, keep_log, both), 0);
}

static void put_file(int scratch_fd, const char *name, const char *bytes, size_t size)
{
    AUTO_FD int fd = io_openat(scratch_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(io_pwrite(fd, bytes, size, 0), 0);
}

static int remove_log(int dirfd, const char *name, unsigned char type UNUSED, void *context UNUSED)
{
    return io_unlinkat(dirfd, name, 0);
}

static int remove_aside(int dirfd, const char *name, unsigned char type UNUSED,
                        void *context UNUSED)
{
    return strstr(name, ".damaged") ? io_unlinkat(dirfd, name, 0) : 0;
}

/* As after a kill at the moment of the snapshot. */
static void restore(const struct world *world, const struct snapshot *snapshot)
{
    CHECK_EQ(dir_each(world->logs_fd, remove_log, NULL), 0);
    for (size_t i = 0; i < snapshot->count; i++)
        put_file(world->place->store->sessions_fd, snapshot->files[i].name,
                 snapshot->files[i].bytes, snapshot->files[i].size);
}

/* ---- damage ---- */

struct drill {
    struct world world;
    struct rng *rng;
    struct snapshot snapshots[SNAPSHOTS];
    struct snapshot now;
    bool hurt_storage;   /* blocks or owners, in this round */
    char hurt_logs[256]; /* the names of damaged logs, each followed by a space */
};

static struct kept_file *pick(struct rng *rng, struct snapshot *snapshot, bool log)
{
    size_t logs = snapshot->count - 2;
    if (log && logs)
        return &snapshot->files[2 + rng_below(rng, logs)];
    return &snapshot->files[rng_below(rng, 2)];
}

/* Of this round, for a check that fails. */
static char deeds[512];

static void note_deed(uint64_t kind, const char *name)
{
    size_t length = strlen(deeds);
    (void)snprintf(deeds + length, sizeof(deeds) - length, " %llu of %s;", (unsigned long long)kind,
                   name);
}

static void note_hurt(struct drill *drill, const char *name)
{
    size_t length = strlen(drill->hurt_logs);
    if (strncmp(name, "logs/", 5) != 0)
        drill->hurt_storage = true;
    else
        (void)snprintf(drill->hurt_logs + length, sizeof(drill->hurt_logs) - length, "%s ",
                       name + 5);
}

/* Two places of one file, a block's length or an entry's, change places, or become alike. */
static void mix(struct rng *rng, char *bytes, size_t size, size_t unit, bool swap)
{
    char first[BLOCK_SIZE_BYTES];
    if (size < 2 * unit)
        return;
    char *a = bytes + rng_below(rng, size / unit) * unit;
    char *b = bytes + rng_below(rng, size / unit) * unit;
    memcpy(first, a, unit);
    memmove(a, b, unit);
    if (swap)
        memcpy(b, first, unit);
}

static void flip(struct rng *rng, struct kept_file *file)
{
    if (!file->size)
        return;
    size_t at = rng_below(rng, file->size);
    /* Not the version, which is refused, and rightly. */
    if (at != 3)
        file->bytes[at] = (char)(file->bytes[at] ^ 1 << rng_below(rng, 8));
}

static void replay(struct drill *drill, const char *name, int fd)
{
    struct snapshot *old = &drill->snapshots[rng_below(drill->rng, SNAPSHOTS)];
    if (!old->count)
        return;
    /* An earlier copy of the same file, or of any log, even if its session was discarded. */
    struct kept_file *kept = pick(drill->rng, old, true);
    for (size_t i = 0; rng_chance(drill->rng, 50) && i < old->count; i++)
        if (!strcmp(old->files[i].name, name))
            kept = &old->files[i];
    note_hurt(drill, kept->name);
    put_file(fd, kept->name, kept->bytes, kept->size);
}

static void damage(struct drill *drill)
{
    struct rng *rng = drill->rng;
    int fd = drill->world.place->store->sessions_fd;
    take_snapshot(&drill->world, &drill->now);
    struct kept_file *file = pick(rng, &drill->now, rng_chance(rng, 60));
    const struct kept_file *other = pick(rng, &drill->now, true);
    bool is_log = !strncmp(file->name, "logs/", 5);
    size_t unit = !strcmp(file->name, "owners") ? 24 : BLOCK_SIZE_BYTES;
    uint64_t kind = rng_below(rng, 6);
    char twin[64];
    note_deed(kind, file->name);
    note_hurt(drill, file->name);
    switch (kind) {
    case 0:
        flip(rng, file);
        break;
    case 1:
        file->size = rng_below(rng, file->size + 1);
        break;
    case 2:
        if (!is_log) {
            mix(rng, file->bytes, file->size, unit, true);
            break;
        }
        note_hurt(drill, other->name);
        put_file(fd, file->name, other->bytes, other->size);
        put_file(fd, other->name, file->bytes, file->size);
        return;
    case 3:
        if (!is_log) {
            mix(rng, file->bytes, file->size, unit, false);
            break;
        }
        /* Over another's, or under a name of its own. */
        (void)snprintf(twin, sizeof(twin), "logs/%016llx",
                       900000 + (unsigned long long)rng_below(rng, 100));
        note_hurt(drill, other->name);
        put_file(fd, rng_chance(rng, 50) ? other->name : twin, file->bytes, file->size);
        return;
    default:
        replay(drill, file->name, fd);
        return;
    }
    put_file(fd, file->name, file->bytes, file->size);
}

/* ---- work ---- */

static void write_units(struct node *node, struct rng *rng)
{
    static struct unit units[FILE_UNITS];
    uint64_t owner = node_session(node)->owner;
    size_t first = rng_below(rng, FILE_UNITS);
    size_t count = 1 + rng_below(rng, rng_chance(rng, 70) ? 300 : FILE_UNITS - first);
    for (size_t i = 0; i < count; i++)
        units[i] = (struct unit){.magic = unit_magic, .owner = owner};
    int r = file_write(node, units, count * sizeof(struct unit), first * sizeof(struct unit));
    CHECK(r == 0 || r == -EIO);
}

static void change_file(struct node *root, struct rng *rng)
{
    char name[16];
    struct node *node = NULL;
    (void)snprintf(name, sizeof(name), "f%d", (int)rng_below(rng, FILES));
    const char *path = rng_chance(rng, 30) ? "large" : name;
    int r = session_lookup(root, path, &node);
    if (r == -ENOENT)
        node = file_made(root, path);
    if (rng_chance(rng, 20))
        CHECK_EQ(session_unlink(root, path), 0);
    else if (rng_chance(rng, 20))
        CHECK(file_truncate(node, rng_below(rng, FILE_UNITS) * sizeof(struct unit)) <= 0);
    else
        write_units(node, rng);
    if (rng_chance(rng, 3))
        CHECK_EQ(session_rewrite_log(node_session(root)), 0);
    node_unref(node, 1);
}

static void work(struct drill *drill, unsigned steps)
{
    struct world *world = &drill->world;
    struct rng *rng = drill->rng;
    for (unsigned i = 0; i < steps; i++) {
        char id[16];
        char other[16];
        (void)snprintf(id, sizeof(id), "s%d", (int)rng_below(rng, IDS));
        (void)snprintf(other, sizeof(other), "s%d", (int)rng_below(rng, IDS));
        if (!has_session(world, id)) {
            node_unref(session_made(world->scratch, world->key, id), 1);
        } else if (rng_chance(rng, 4)) {
            discard(world, id);
            continue;
        } else if (rng_chance(rng, 4)) {
            CHECK_EQ(scratch_session_rename(world->scratch, world->key, id, other, 0), 0);
            continue;
        }
        struct node *root = session_found(world->scratch, world->key, id);
        change_file(root, rng);
        node_unref(root, 1);
    }
}

/* ---- checking ---- */

struct seen {
    uint64_t serial;
    uint64_t digest;
    bool failed; /* some of it could not be read */
    char id[SESSION_ID_MAX + 1];
};

struct sight {
    struct seen sessions[SCRATCH_FILES_MAX];
    size_t count;
};

static bool note_session(const struct session *session, void *context)
{
    struct sight *sight = context;
    CHECK(sight->count < SCRATCH_FILES_MAX);
    struct seen *seen = &sight->sessions[sight->count++];
    *seen = (struct seen){.serial = session_serial(session)};
    (void)snprintf(seen->id, sizeof(seen->id), "%s", session_id(session));
    return true;
}

/* Every unit that is in the file is the session's own. */
static void look_at(struct node *node, struct seen *seen)
{
    static struct unit units[FILE_UNITS * 8];
    memset(units, 0, sizeof(units));
    ssize_t n = file_read(node, units, sizeof(units), 0);
    CHECK(n >= 0 || n == -EIO);
    seen->failed = seen->failed || n < 0;
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(struct unit); i++) {
        if (units[i].magic == unit_magic && units[i].owner != node_session(node)->owner)
            support_fail(__FILE__, __LINE__,
                         "the session %s shows another's bytes at %zd, after damage%s", seen->id,
                         i * (ssize_t)sizeof(struct unit), deeds);
        seen->digest = (seen->digest ^ units[i].magic ^ units[i].owner) * 0x100000001b3;
    }
}

static void look(const struct world *world, struct sight *ret_sight)
{
    static const char *const paths[] = {"f0", "f1", "f2", "f3", "large"};
    ret_sight->count = 0;
    scratch_each(world->scratch, 0, note_session, ret_sight);
    for (size_t i = 0; i < ret_sight->count; i++) {
        struct seen *seen = &ret_sight->sessions[i];
        struct node *root = session_found(world->scratch, world->key, seen->id);
        for (size_t k = 0; k < ARRAY_LENGTH(paths); k++) {
            struct node *node = NULL;
            seen->digest = seen->digest * 31 + k;
            if (session_lookup(root, paths[k], &node) < 0)
                continue;
            look_at(node, seen);
            node_unref(node, 1);
        }
        node_unref(root, 1);
    }
}

static const struct seen *find_seen(const struct sight *sight, uint64_t serial)
{
    for (size_t i = 0; i < sight->count; i++)
        if (sight->sessions[i].serial == serial)
            return &sight->sessions[i];
    return NULL;
}

/* Sessions whose files were not damaged are unchanged. */
static void check_the_innocent(const struct drill *drill, const struct sight *before,
                               const struct sight *after)
{
    for (size_t i = 0; i < before->count && !drill->hurt_storage; i++) {
        const struct seen *was = &before->sessions[i];
        const struct seen *is = find_seen(after, was->serial);
        char name[32];
        log_name(name, was->serial);
        if (strstr(drill->hurt_logs, name))
            continue;
        if (!is)
            support_fail(__FILE__, __LINE__, "the session %s (%s) is gone, after damage%s", was->id,
                         name, deeds);
        CHECK(was->failed || !is->failed);
        CHECK(was->failed || is->digest == was->digest);
    }
}

/* What damage has left beside the sessions that work() makes. */
static void tidy(const struct world *world)
{
    static struct sight sight;
    sight.count = 0;
    scratch_each(world->scratch, 0, note_session, &sight);
    for (size_t i = 0; i < sight.count; i++)
        if (strchr(sight.sessions[i].id, '.'))
            discard(world, sight.sessions[i].id);
    CHECK_EQ(dir_each(world->logs_fd, remove_aside, NULL), 0);
}

static void run_round(struct drill *drill)
{
    static struct sight before;
    static struct sight after;
    struct rng *rng = drill->rng;
    struct world *world = &drill->world;
    drill->hurt_storage = false;
    drill->hurt_logs[0] = '\0';
    deeds[0] = '\0';
    if (rng_chance(rng, 50))
        take_snapshot(world, &drill->snapshots[rng_below(rng, SNAPSHOTS)]);
    bool is_killed = rng_chance(rng, 40);
    stderr_capture();
    work(drill, (unsigned)rng_below(rng, 60));
    look(world, &before);
    if (is_killed)
        take_snapshot(world, &drill->now);
    scratch_close(world->scratch);
    free(stderr_captured());
    if (is_killed)
        restore(world, &drill->now);
    else if (rng_chance(rng, 30))
        take_snapshot(world, &drill->snapshots[rng_below(rng, SNAPSHOTS)]);
    for (uint64_t i = rng_below(rng, 4); i > 0; i--)
        damage(drill);
    free(world_open_logged(world));
    stderr_capture();
    look(world, &after);
    tidy(world);
    free(stderr_captured());
    check_the_innocent(drill, &before, &after);
}

/* So that one seed alone does the same as in a run of many. */
static void begin_again(struct drill *drill)
{
    int fd = drill->world.place->store->sessions_fd;
    for (size_t i = 0; i < SNAPSHOTS; i++)
        snapshot_fini(&drill->snapshots[i]);
    scratch_close(drill->world.scratch);
    CHECK_EQ(dir_each(drill->world.logs_fd, remove_log, NULL), 0);
    put_file(fd, "blocks", "", 0);
    put_file(fd, "owners", "", 0);
    free(world_open_logged(&drill->world));
}

static void run_drill(struct rng *rng, void *context)
{
    struct drill *drill = context;
    drill->rng = rng;
    begin_again(drill);
    for (int i = 0; i < ROUNDS; i++)
        run_round(drill);
}

static void test_no_session_shows_the_bytes_of_another_after_damage(void **state)
{
    static struct drill drill;
    world_begin(&drill.world, *state);
    support_each_seed(20, run_drill, &drill);
    for (size_t i = 0; i < SNAPSHOTS; i++)
        snapshot_fini(&drill.snapshots[i]);
    snapshot_fini(&drill.now);
    world_end(&drill.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_session_shows_the_bytes_of_another_after_damage),
    };
    return cmocka_run_group_tests_name("overlay-drill", tests, NULL, NULL);
}
