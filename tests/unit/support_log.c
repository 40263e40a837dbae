#include "tests/unit/support_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_record.h"
#include "fs/overlay/changelog_replay.h"

/* ---- the records of a log as text ---- */

int tell_header(const struct session_header *header, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "header %" PRIu64 " %" PRIx64 " %s %s %s %u %u\n", header->serial,
                  header->owner, header->boot_id, header->key, header->id, header->uid,
                  header->gid);
    return 0;
}

int tell_template(const struct template_record *record, void *context)
{
    struct story *story = context;
    char hex[SHA256_HEX_LENGTH + 1];
    sha256_to_hex(record->digest, hex);
    (void)fprintf(story->stream, "template %s\n", hex);
    return 0;
}

int tell_identity(const struct identity_record *record, void *context)
{
    struct story *story = context;
    const struct process_id *owner = &record->lease.owner;
    (void)fprintf(story->stream,
                  "identity %s %u %" PRId64 " %d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", record->id,
                  record->replaced, record->lease.ends_ns, owner->pid, owner->start,
                  owner->pid_namespace, owner->time_namespace);
    return 0;
}

int tell_node(const struct node_record *record, const char *target, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream,
                  "node %u %u %o %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64
                  " %" PRId64 " [%s]\n",
                  record->node, record->entry, record->mode, record->uid, record->gid, record->rdev,
                  record->size_bytes, record->lower_limit_bytes, record->atime_ns, record->mtime_ns,
                  record->ctime_ns, target);
    return 0;
}

int tell_extent(const struct extent_record *record, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "extent %u %u %u %u %" PRIu64 " %" PRId64 "\n", record->node,
                  record->at, record->count, record->block, record->size_bytes, record->mtime_ns);
    return 0;
}

int tell_link(uint32_t parent, const char *name, uint32_t node, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "link %u %u [%s]\n", parent, node, name);
    return 0;
}

int tell_unlink(uint32_t parent, const char *name, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "unlink %u [%s]\n", parent, name);
    return 0;
}

static const struct changelog_visitor teller = {
    .header = tell_header,
    .template = tell_template,
    .identity = tell_identity,
    .node = tell_node,
    .extent = tell_extent,
    .link = tell_link,
    .unlink = tell_unlink,
};

void story_begin(struct story *story)
{
    *story = (struct story){0};
    story->stream = open_memstream(&story->text, &story->size);
    CHECK(story->stream);
}

void story_end(struct story *story)
{
    CHECK_EQ(fclose(story->stream), 0);
    story->stream = NULL;
}

void story_fini(struct story *story)
{
    free(story->text);
}

bool same_story(const struct story *a, const struct story *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->text, b->text, a->size) == 0);
}

int replay_fd(int fd, struct story *ret_story, uint64_t *ret_size)
{
    *ret_size = UINT64_MAX;
    story_begin(ret_story);
    int r = changelog_replay(fd, &teller, ret_story, ret_size);
    story_end(ret_story);
    CHECK(r <= 1);
    CHECK((r >= 0) == (*ret_size != UINT64_MAX));
    return r;
}

int replay_name(const struct place *place, const char *name, struct story *ret_story,
                uint64_t *ret_size)
{
    AUTO_FD int fd = io_openat(place->fd, name, O_RDONLY, 0);
    CHECK(fd >= 0);
    return replay_fd(fd, ret_story, ret_size);
}

int bytes_fd(const void *bytes, size_t size)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(io_pwrite(fd, bytes, size, 0), 0);
    return fd;
}

/* ---- sample logs ---- */

const struct session_header a_header = {
    .serial = 0x123456789,
    .owner = 0xfedcba9876543210,
    .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
    .key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    .id = "a-session",
    .uid = 1000,
    .gid = 1001,
};

const struct template_record a_template = {.digest = {0x12, 0xff, [31] = 0x80}};

const struct identity_record an_identity = {
    .id = "another-id",
    .replaced = 4712,
    .lease = {.ends_ns = INT64_MAX,
              .owner = {.pid = 4711,
                        .start = UINT64_MAX,
                        .pid_namespace = 4026531836,
                        .time_namespace = 4026531834}},
};

const struct node_record a_node = {
    .node = 77,
    .entry = 0xfffffffe,
    .mode = S_IFREG | 0640,
    .uid = 4294967295,
    .gid = 12,
    .rdev = 0x123400000567,
    .size_bytes = 1234567890123,
    .lower_limit_bytes = 8191,
    .atime_ns = -1,
    .mtime_ns = INT64_MAX,
    .ctime_ns = INT64_MIN,
};

const struct extent_record an_extent = {
    .node = 77, .at = 5, .count = 9, .block = 1000, .size_bytes = 99999, .mtime_ns = 42};

void add_some(struct frame *frame)
{
    struct extent_record zero = an_extent;
    char longest[NAME_BYTES_MAX + 1];
    memset(longest, 0xfe, NAME_BYTES_MAX);
    longest[NAME_BYTES_MAX] = '\0';
    frame_add_template(frame, &a_template);
    frame_add_identity(frame, &an_identity);
    frame_add_node(frame, &a_node, NULL);
    frame_add_extent(frame, &an_extent);
    zero.block = BLOCK_ZERO;
    frame_add_extent(frame, &zero);
    zero.block = BLOCK_ABSENT;
    zero.at = BLOCK_LIMIT - zero.count;
    frame_add_extent(frame, &zero);
    frame_add_link(frame, 1, "a", 77);
    frame_add_link(frame, 2, longest, 0xfffffffe);
    frame_add_unlink(frame, 1, "12345678");
}

/* A log of FRAMES frames; returns where each begins, and the size after them. */
static void make_log(const struct place *place, const char *name, uint64_t ret_at[FRAMES + 1])
{
    struct changelog *log = NULL;
    struct node_record link = a_node;
    char target[4096];
    memset(target, 't', 4095);
    target[4095] = '\0';
    link.mode = S_IFLNK | 0777;
    for (int i = 0; i < FRAMES; i++) {
        AUTO_FRAME struct frame frame;
        frame_init(&frame);
        if (i == 0)
            frame_add_header(&frame, &a_header);
        if (i % 2 == 0)
            add_some(&frame);
        if (i == 1)
            frame_add_node(&frame, &link, target);
        if (i == 3)
            frame_add_unlink(&frame, 9, "x");
        CHECK(!frame.failed && frame.size % 8 == 0);
        ret_at[i + 1] = (i ? ret_at[i] : 0) + frame.size;
        if (i == 0)
            CHECK_EQ(changelog_create(place->fd, name, &frame, &log), 0);
        else
            CHECK_EQ(changelog_append(log, &frame), 0);
    }
    ret_at[0] = 0;
    changelog_close(log);
}

void sample_log_init(const struct place *place, struct sample_log *sample)
{
    make_log(place, "log", sample->at);
    CHECK_EQ(dir_read_file(place->fd, "log", 1 << 20, &sample->bytes, &sample->size), 0);
    CHECK_EQ(sample->size, sample->at[FRAMES]);
    sample->told[0] = (struct story){0};
    for (int i = 1; i <= FRAMES; i++) {
        uint64_t size;
        AUTO_FD int fd = bytes_fd(sample->bytes, sample->at[i]);
        CHECK_EQ(replay_fd(fd, &sample->told[i], &size), 0);
        CHECK_EQ(size, sample->at[i]);
    }
}

void sample_log_fini(struct sample_log *sample)
{
    free(sample->bytes);
    for (int i = 0; i <= FRAMES; i++)
        story_fini(&sample->told[i]);
}
