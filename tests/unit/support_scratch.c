#include "tests/unit/support_scratch.h"

#include <fcntl.h>

#include "fs/base/io.h"
#include "fs/overlay/overlay_internal.h"

static const struct sample samples[] = {
    {.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e/f", .type = ENTRY_FILE, .mode = 0644, .size = 10001},
    {.path = "d/g", .type = ENTRY_FILE, .mode = 0644, .size = 1},
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 300001},
    {.path = "link", .type = ENTRY_SYMLINK, .mode = 0777, .target = "d"},
};

void world_begin(struct world *world, struct place *place)
{
    *world = (struct world){.place = place, .logs_fd = -1};
    place_template(place, samples, ARRAY_LENGTH(samples), world->key);
    world->scratch = scratch_of(place);
    world->logs_fd = openat(place->store->sessions_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(world->logs_fd >= 0);
}

void world_reopen(struct world *world)
{
    scratch_close(world->scratch);
    world->scratch = scratch_of(world->place);
}

char *world_open_logged(struct world *world)
{
    stderr_capture();
    world->scratch = scratch_of(world->place);
    return stderr_captured();
}

char *world_reopen_logged(struct world *world)
{
    scratch_close(world->scratch);
    return world_open_logged(world);
}

void world_rebuild_template(const struct world *world, bool otherwise)
{
    struct sample again[ARRAY_LENGTH(samples)];
    char byte;
    memcpy(again, samples, sizeof(samples));
    for (size_t i = 0; otherwise && i < ARRAY_LENGTH(again); i++) {
        if (strcmp(again[i].path, "d/g") != 0)
            continue;
        sample_fill(again[i].path, &byte, 1);
        byte ^= 1;
        again[i].data = &byte;
    }
    place_template_anew(world->place, again, ARRAY_LENGTH(again), world->key);
}

void world_end(struct world *world)
{
    scratch_close(world->scratch);
    (void)close(world->logs_fd);
}

bool has_session(const struct world *world, const char *id)
{
    struct node *root = NULL;
    int r = scratch_session_find(world->scratch, world->key, id, &root);
    if (r == 0)
        node_unref(root, 1);
    else
        CHECK_EQ(r, -ENOENT);
    return r == 0;
}

uint64_t serial_of(const struct world *world, const char *id)
{
    struct node *root = session_found(world->scratch, world->key, id);
    uint64_t serial = session_serial(node_session(root));
    node_unref(root, 1);
    return serial;
}

uint64_t owner_of(const struct world *world, const char *id)
{
    struct node *root = session_found(world->scratch, world->key, id);
    uint64_t owner = root->session->owner;
    node_unref(root, 1);
    return owner;
}

void log_name(char name[32], uint64_t serial)
{
    (void)snprintf(name, 32, "%016llx", (unsigned long long)serial);
}

void make_marked(const struct world *world, const char *id, const char *mark)
{
    struct node *root = session_made(world->scratch, world->key, id);
    struct node *node = node_there(root, "large");
    CHECK_EQ(file_write(node, mark, strlen(mark), 50000), 0);
    node_unref(node, 1);
    node_unref(file_made(root, mark), 1);
    node_unref(root, 1);
}

void check_marked(const struct world *world, const char *id, const char *mark)
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

void discard(const struct world *world, const char *id)
{
    CHECK_EQ(scratch_session_discard(world->scratch, world->key, id), 0);
}

uint64_t stored_bytes(const struct world *world)
{
    struct scratch_counts counts;
    scratch_count(world->scratch, &counts);
    return counts.stored_bytes;
}

static bool note_session(const struct session *session, void *stream)
{
    (void)fprintf(stream, "%s ", session_id(session));
    return true;
}

void check_listing(const struct world *world, const char *expected)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream);
    scratch_each(world->scratch, 0, note_session, stream);
    CHECK_EQ(fclose(stream), 0);
    if (strcmp(text, expected) != 0)
        support_fail(__FILE__, __LINE__, "listed: %s, not: %s", text, expected);
}

void read_boot_id(char ret_boot_id[BOOT_ID_SIZE + 1])
{
    AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(io_pread_exact(fd, ret_boot_id, BOOT_ID_SIZE, 0), 0);
    ret_boot_id[BOOT_ID_SIZE] = '\0';
}
