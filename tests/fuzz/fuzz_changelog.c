/*
 * A session's log. The bytes are records in a valid frame of the current boot, since no mutation of
 * a whole log would pass its checksums. They are replayed over a template; if that succeeds, the
 * session is listed, read and written as requests would do it.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <stddef.h>

#include "fs/base/io.h"
#include "fs/overlay/changelog_format.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/overlay_internal.h"
#include "fs/overlay/session_replay.h"
#include "tests/fuzz/fuzz.h"

static const struct sample samples[] = {
    {.path = "d", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e", .type = ENTRY_DIRECTORY, .mode = 0755},
    {.path = "d/e/f", .type = ENTRY_FILE, .mode = 0644, .size = 10001},
    {.path = "d/g", .type = ENTRY_FILE, .mode = 0644, .size = 1},
    {.path = "large", .type = ENTRY_FILE, .mode = 0644, .size = 300001},
    {.path = "link", .type = ENTRY_SYMLINK, .mode = 0777, .target = "d"},
};
static const char log_name[] = "0000000000000001";
enum { STORED_BLOCKS = 256 };

static struct place *place;
static char key[SHA256_HEX_LENGTH + 1];
static int logs = -1;

static void end(void)
{
    void *state = place;
    if (logs >= 0)
        (void)close(logs);
    (void)place_teardown(&state);
}

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
    void *state = NULL;
    CHECK_EQ(place_setup(&state), 0);
    place = state;
    place_template(place, samples, ARRAY_LENGTH(samples), key);
    logs = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(logs >= 0 && atexit(end) == 0);
    return 0;
}

static int find_lower(const char *wanted, struct lower **ret_lower, void *context UNUSED)
{
    return lower_open(place->store, wanted, ret_lower);
}

static void write_log(const char *boot_id, const uint8_t *data, size_t size)
{
    enum { OWNER_SIZE = sizeof(uint64_t) };
    struct session_header header = {.serial = 1};
    (void)snprintf(header.boot_id, sizeof(header.boot_id), "%s", boot_id);
    (void)snprintf(header.key, sizeof(header.key), "%s", key);
    (void)snprintf(header.id, sizeof(header.id), "one");
    struct frame frame;
    frame_init(&frame);
    frame_add_header(&frame, &header);
    /* The log has version 2, so any block that the data names may belong to it. */
    char *owner = frame.data + sizeof(struct frame_disk) + sizeof(struct record_disk) +
                  offsetof(struct header_disk, owner);
    frame.size -= OWNER_SIZE;
    memmove(owner, owner + OWNER_SIZE, (size_t)(frame.data + frame.size - owner));
    size_t whole = size / 8 * 8;
    struct frame longer = frame;
    longer.data = malloc(frame.size + whole + 1);
    CHECK(longer.data);
    memcpy(longer.data, frame.data, frame.size);
    memcpy(longer.data + frame.size, data, whole);
    longer.size = frame.size + whole;
    struct frame_disk head = {.magic = LOG_MAGIC_2};
    char *payload = longer.data + sizeof(head);
    head.size = (uint32_t)(longer.size - sizeof(head));
    head.crc = frame_checksum(0, 0, payload, head.size);
    head.check = frame_checksum(0, 0, &head, offsetof(struct frame_disk, check));
    memcpy(longer.data, &head, sizeof(head));
    AUTO_FD int log = io_openat(logs, log_name, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(log >= 0);
    CHECK_EQ(io_pwrite(log, longer.data, longer.size, 0), 0);
    free(longer.data);
    frame_fini(&frame);
}

static bool see_name(const char *name UNUSED, uint64_t ino UNUSED, mode_t type UNUSED,
                     uint64_t cookie UNUSED, void *context)
{
    ++*(unsigned *)context;
    return true;
}

/* Lists, reads and writes nodes as requests would. */
static void use(struct session *session)
{
    static const char *const paths[] = {"d", "large", "link", "made"};
    unsigned names = 0;
    session_readdir(session->root, 0, see_name, &names);
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        struct node *node;
        if (session_lookup(session->root, paths[i], &node) < 0)
            continue;
        char buffer[5000];
        if (S_ISREG(node->mode) && file_open(node) == 0) {
            (void)!file_read(node, buffer, sizeof(buffer), 4000);
            (void)!file_write(node, "written", 7, 8190);
            file_close(node);
        } else if (node_is_directory(node)) {
            session_readdir(node, 0, see_name, &names);
        }
        node_unref(node, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char boot_id[] = "00000000-0000-0000-0000-000000000000";
    write_log(boot_id, data, size);
    int fd = open(place->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, (off_t)STORED_BLOCKS * BLOCK_SIZE_BYTES), 0);
    struct blocks *blocks;
    struct owners *owners;
    int owners_fd = open(place->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CHECK_EQ(owners_open(owners_fd, &owners), 0);
    CHECK_EQ(blocks_new(fd, owners, &blocks), 0);
    struct session_list list = {.reserve_fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct recovery recovery = {.list = &list,
                                .dirfd = logs,
                                .name = log_name,
                                .blocks = blocks,
                                .boot_id = boot_id,
                                .find_lower = find_lower};
    struct session *session;
    if (session_recover(&recovery, &session) == 0) {
        use(session);
        session_unpin(session);
    } else {
        /* A refused session owns no blocks. */
        CHECK_EQ(blocks_taken(blocks), 0);
    }
    blocks_free(blocks);
    CHECK_EQ(unlinkat(logs, log_name, 0), 0);
    return 0;
}
