#include "tests/unit/support.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog.h"

/* ---- what a log tells, as text ---- */

struct story {
    FILE *stream;
    char *text;
    size_t size;
};

static int tell_header(const struct session_header *header, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "header %" PRIu64 " %s %s %s %u %u\n", header->serial,
                  header->boot_id, header->key, header->id, header->uid, header->gid);
    return 0;
}

static int tell_template(const struct template_record *record, void *context)
{
    struct story *story = context;
    char hex[SHA256_HEX_LENGTH + 1];
    sha256_to_hex(record->digest, hex);
    (void)fprintf(story->stream, "template %s\n", hex);
    return 0;
}

static int tell_identity(const struct identity_record *record, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "identity %s %d %" PRId64 " %d %" PRIu64 "\n", record->id,
                  record->renamed, record->lease.ends_ns, record->lease.owner_pid,
                  record->lease.owner_start);
    return 0;
}

static int tell_node(const struct node_record *record, const char *target, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream,
                  "node %u %u %o %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64
                  " %" PRId64 " [%s]\n",
                  record->node, record->base, record->mode, record->uid, record->gid, record->rdev,
                  record->size_bytes, record->base_limit_bytes, record->atime_ns, record->mtime_ns,
                  record->ctime_ns, target);
    return 0;
}

static int tell_extent(const struct extent_record *record, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "extent %u %u %u %u %" PRIu64 " %" PRId64 "\n", record->node,
                  record->at, record->count, record->block, record->size_bytes, record->mtime_ns);
    return 0;
}

static int tell_link(uint32_t parent, const char *name, uint32_t node, void *context)
{
    struct story *story = context;
    (void)fprintf(story->stream, "link %u %u [%s]\n", parent, node, name);
    return 0;
}

static int tell_unlink(uint32_t parent, const char *name, void *context)
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

static void story_begin(struct story *story)
{
    *story = (struct story){0};
    story->stream = open_memstream(&story->text, &story->size);
    CHECK(story->stream);
}

static void story_end(struct story *story)
{
    CHECK_EQ(fclose(story->stream), 0);
    story->stream = NULL;
}

static void story_fini(struct story *story)
{
    free(story->text);
}
#define AUTO_STORY CLEANUP(story_fini)

static int replay_fd(int fd, struct story *ret_story, uint64_t *ret_size)
{
    *ret_size = UINT64_MAX;
    story_begin(ret_story);
    int r = changelog_replay(fd, &teller, ret_story, ret_size);
    story_end(ret_story);
    CHECK(r <= 1);
    CHECK((r >= 0) == (*ret_size != UINT64_MAX));
    return r;
}

static int replay_name(const struct place *place, const char *name, struct story *ret_story,
                       uint64_t *ret_size)
{
    AUTO_FD int fd = io_openat(place->fd, name, O_RDONLY, 0);
    CHECK(fd >= 0);
    return replay_fd(fd, ret_story, ret_size);
}

/* A descriptor that holds these bytes, to be damaged as one likes. */
static int bytes_fd(const void *bytes, size_t size)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(io_pwrite(fd, bytes, size, 0), 0);
    return fd;
}

/* ---- logs to begin with ---- */

static const struct session_header a_header = {
    .serial = 0x123456789,
    .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
    .key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    .id = "a-session",
    .uid = 1000,
    .gid = 1001,
};

static const struct template_record a_template = {.digest = {0x12, 0xff, [31] = 0x80}};

static const struct identity_record an_identity = {
    .id = "another-id",
    .renamed = true,
    .lease = {.ends_ns = INT64_MAX, .owner_pid = 4711, .owner_start = UINT64_MAX},
};

static const struct node_record a_node = {
    .node = 77,
    .base = 0xfffffffe,
    .mode = S_IFREG | 0640,
    .uid = 4294967295,
    .gid = 12,
    .rdev = 0x123400000567,
    .size_bytes = 1234567890123,
    .base_limit_bytes = 8191,
    .atime_ns = -1,
    .mtime_ns = INT64_MAX,
    .ctime_ns = INT64_MIN,
};

static const struct extent_record an_extent = {
    .node = 77, .at = 5, .count = 9, .block = 1000, .size_bytes = 99999, .mtime_ns = 42};

static void add_some(struct frame *frame)
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

enum { FRAMES = 5 };

/* A log of FRAMES frames; returns where each begins, and the size behind them. */
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

/* The log's bytes, and what a reader is told after each of its frames. */
struct sample_log {
    uint64_t at[FRAMES + 1];
    char *bytes;
    size_t size;
    struct story told[FRAMES + 1]; /* by the first so many frames */
};

static void sample_log_init(const struct place *place, struct sample_log *sample)
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

static void sample_log_fini(struct sample_log *sample)
{
    free(sample->bytes);
    for (int i = 0; i <= FRAMES; i++)
        story_fini(&sample->told[i]);
}

static bool same_story(const struct story *a, const struct story *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->text, b->text, a->size) == 0);
}

/* ---- tests ---- */

static void test_round_trip(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_STORY struct story expected;
    story_begin(&expected);
    char longest[NAME_BYTES_MAX + 1];
    memset(longest, 0xfe, NAME_BYTES_MAX);
    longest[NAME_BYTES_MAX] = '\0';
    char target[4096];
    memset(target, 't', 4095);
    target[4095] = '\0';
    struct node_record link = a_node;
    struct extent_record zero = an_extent;
    struct extent_record absent = an_extent;
    link.mode = S_IFLNK | 0777;
    zero.block = BLOCK_ZERO;
    absent.block = BLOCK_ABSENT;
    absent.at = BLOCK_LIMIT - absent.count;
    for (int i = 0; i < FRAMES; i++) {
        if (i == 0)
            CHECK_EQ(tell_header(&a_header, &expected), 0);
        if (i % 2 == 0) {
            CHECK_EQ(tell_template(&a_template, &expected), 0);
            CHECK_EQ(tell_identity(&an_identity, &expected), 0);
            CHECK_EQ(tell_node(&a_node, "", &expected), 0);
            CHECK_EQ(tell_extent(&an_extent, &expected), 0);
            CHECK_EQ(tell_extent(&zero, &expected), 0);
            CHECK_EQ(tell_extent(&absent, &expected), 0);
            CHECK_EQ(tell_link(1, "a", 77, &expected), 0);
            CHECK_EQ(tell_link(2, longest, 0xfffffffe, &expected), 0);
            CHECK_EQ(tell_unlink(1, "12345678", &expected), 0);
        }
        if (i == 1)
            CHECK_EQ(tell_node(&link, target, &expected), 0);
        if (i == 3)
            CHECK_EQ(tell_unlink(9, "x", &expected), 0);
    }
    story_end(&expected);
    CHECK(same_story(&expected, &sample.told[FRAMES]));
    sample_log_fini(&sample);
}

/* A killed daemon leaves the beginning of what it wrote. */
static void test_torn_tail(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    for (size_t cut = 0; cut < sample.size; cut++) {
        support_context("cut at %zu", cut);
        int whole = 0;
        while (sample.at[whole + 1] <= cut)
            whole++;
        AUTO_FD int fd = bytes_fd(sample.bytes, cut);
        AUTO_STORY struct story story;
        uint64_t size;
        int r = replay_fd(fd, &story, &size);
        if (whole == 0) {
            /* The first is there when the log is. */
            CHECK_EQ(r, -EBADMSG);
        } else {
            CHECK_EQ(r, 0);
            CHECK_EQ(size, sample.at[whole]);
            CHECK(same_story(&story, &sample.told[whole]));
        }
    }
    sample_log_fini(&sample);
}

/* The tail is cut off before the next frame is written. */
static void test_append_behind_a_torn_tail(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_FD int fd = io_openat(place->fd, "log", O_RDWR, 0);
    CHECK_EQ(io_ftruncate(fd, (off_t)sample.at[3] - 1), 0);
    struct changelog *log = NULL;
    CHECK_EQ(changelog_open(place->fd, "log", sample.at[2], &log), 0);
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    frame_add_unlink(&frame, 5, "n");
    CHECK_EQ(changelog_append(log, &frame), 0);
    changelog_close(log);
    AUTO_STORY struct story story;
    uint64_t size;
    CHECK_EQ(replay_fd(fd, &story, &size), 0);
    CHECK_EQ(size, sample.at[2] + frame.size);
    CHECK(story.size > sample.told[2].size);
    CHECK(!memcmp(story.text, sample.told[2].text, sample.told[2].size));
    CHECK(!strcmp(story.text + sample.told[2].size, "unlink 5 [n]\n"));
    sample_log_fini(&sample);
}

/* One flipped bit is damage that is found, but in the last frame, which may be taken for torn. */
static void test_flipped_bits(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_FD int fd = bytes_fd(sample.bytes, sample.size);
    for (size_t i = 0; i < sample.size; i++) {
        int frame = 0;
        while (sample.at[frame + 1] <= i)
            frame++;
        for (int bit = 0; bit < 8; bit++) {
            support_context("byte %zu, bit %d", i, bit);
            char flipped = (char)(sample.bytes[i] ^ 1 << bit);
            CHECK_EQ(io_pwrite(fd, &flipped, 1, (off_t)i), 0);
            AUTO_STORY struct story story;
            uint64_t size;
            int r = replay_fd(fd, &story, &size);
            if (i == 3)
                CHECK(r == -EPROTONOSUPPORT || r == -EBADMSG);
            else if (frame < FRAMES - 1)
                CHECK_EQ(r, -EBADMSG);
            else
                CHECK(r == -EBADMSG || (r == 1 && size == sample.at[frame]));
            CHECK(same_story(&story, &sample.told[frame]));
        }
        CHECK_EQ(io_pwrite(fd, sample.bytes + i, 1, (off_t)i), 0);
    }
    sample_log_fini(&sample);
}

/* A log of one frame, as a compaction leaves it, is never taken for torn: it would be lost unsaid.
 */
static void test_flipped_bits_in_the_only_frame(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    size_t size = sample.at[1];
    AUTO_FD int fd = bytes_fd(sample.bytes, size);
    for (size_t i = 0; i < size; i++) {
        support_context("byte %zu", i);
        char flipped = (char)(sample.bytes[i] ^ 0x20);
        CHECK_EQ(io_pwrite(fd, &flipped, 1, (off_t)i), 0);
        AUTO_STORY struct story story;
        uint64_t ignored;
        int r = replay_fd(fd, &story, &ignored);
        CHECK(r == -EBADMSG || (i == 3 && r == -EPROTONOSUPPORT));
        CHECK_EQ(story.size, 0);
        CHECK_EQ(io_pwrite(fd, sample.bytes + i, 1, (off_t)i), 0);
    }
    sample_log_fini(&sample);
}

static void test_frames_out_of_place(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_FREE char *bytes = calloc(1, sample.size * 3);
    CHECK(bytes);
    AUTO_STORY struct story story;
    uint64_t size;
    /* The second frame twice: whole, but not where it was written. */
    size_t second = sample.at[2] - sample.at[1];
    memcpy(bytes, sample.bytes, sample.at[2]);
    memcpy(bytes + sample.at[2], sample.bytes + sample.at[1], second);
    memcpy(bytes + sample.at[2] + second, sample.bytes + sample.at[1], second);
    AUTO_FD int fd = bytes_fd(bytes, sample.at[2] + 2 * second);
    CHECK_EQ(replay_fd(fd, &story, &size), -EBADMSG);
    sample_log_fini(&sample);
}

static void test_a_later_version(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_STORY struct story story;
    uint64_t size;
    sample.bytes[3] = '3';
    AUTO_FD int fd = bytes_fd(sample.bytes, sample.size);
    CHECK_EQ(replay_fd(fd, &story, &size), -EPROTONOSUPPORT);
    CHECK_EQ(story.size, 0);
    sample_log_fini(&sample);
}

/* Anything at all, as a file and as the payload of a frame that is whole. */
static void run_garbage(struct rng *rng, void *context)
{
    const struct place *place = context;
    for (int i = 0; i < 300; i++) {
        char bytes[600];
        size_t size = rng_below(rng, sizeof(bytes));
        rng_fill(rng, bytes, size);
        AUTO_STORY struct story story;
        AUTO_STORY struct story again;
        uint64_t ignored;
        AUTO_FD int fd = bytes_fd(bytes, size);
        CHECK(replay_fd(fd, &story, &ignored) < 0);

        AUTO_FRAME struct frame frame;
        struct changelog *log = NULL;
        frame_init(&frame);
        frame_add_header(&frame, &a_header);
        add_some(&frame);
        unsigned flips = 1 + (unsigned)rng_below(rng, 20);
        for (unsigned k = 0; k < flips; k++) {
            /* Behind the 16 bytes that writing it fills in; often where small numbers stand. */
            size_t at = 16 + rng_below(rng, frame.size - 16);
            frame.data[at] = rng_chance(rng, 50) ? (char)rng_next(rng)
                                                 : (char)(frame.data[at] ^ 1 << rng_below(rng, 8));
        }
        if (rng_chance(rng, 30))
            frame.size -= rng_below(rng, frame.size - 16);
        CHECK_EQ(changelog_create(place->fd, "garbage", &frame, &log), 0);
        changelog_close(log);
        int r = replay_name(place, "garbage", &again, &ignored);
        CHECK(r == 0 || r == -EBADMSG);
        CHECK_EQ(io_unlinkat(place->fd, "garbage", 0), 0);
    }
}

static void test_garbage(void **state)
{
    support_each_seed(20, run_garbage, *state);
}

static void test_lies(void **state)
{
    const struct place *place = *state;
    struct extent_record extents[] = {an_extent, an_extent, an_extent, an_extent};
    extents[0].at = BLOCK_LIMIT;
    extents[1].block = BLOCK_LIMIT;
    extents[2].block = BLOCK_LIMIT - extents[2].count + 1;
    extents[3].size_bytes = FILE_SIZE_LIMIT_BYTES + 1;
    struct node_record nodes[] = {a_node, a_node};
    nodes[0].size_bytes = FILE_SIZE_LIMIT_BYTES + 1;
    nodes[1].base_limit_bytes = nodes[1].size_bytes + 1;
    enum { LIES = ARRAY_LENGTH(extents) + ARRAY_LENGTH(nodes) + 5 };
    for (size_t i = 0; i < LIES; i++) {
        support_context("lie %zu", i);
        AUTO_FRAME struct frame frame;
        struct changelog *log = NULL;
        char long_name[300];
        memset(long_name, 'n', sizeof(long_name));
        long_name[256] = '\0';
        frame_init(&frame);
        if (i != 6)
            frame_add_header(&frame, &a_header);
        if (i < 4)
            frame_add_extent(&frame, &extents[i]);
        else if (i < 6)
            frame_add_node(&frame, &nodes[i - 4], NULL);
        else if (i == 6)
            frame_add_unlink(&frame, 1, "no header before");
        else if (i == 7)
            frame_add_header(&frame, &a_header);
        else if (i == 8)
            frame_add_link(&frame, 1, "", 3);
        else if (i == 9)
            frame_add_unlink(&frame, 1, "a/b");
        else
            frame_add_link(&frame, 1, long_name, 3);
        CHECK_EQ(changelog_create(place->fd, "lie", &frame, &log), 0);
        changelog_close(log);
        AUTO_STORY struct story story;
        uint64_t size;
        CHECK_EQ(replay_name(place, "lie", &story, &size), -EBADMSG);
        CHECK_EQ(io_unlinkat(place->fd, "lie", 0), 0);
    }
}

static void append_name(struct changelog *log, const char *name, int expected)
{
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    frame_add_unlink(&frame, 1, name);
    CHECK_EQ(changelog_append(log, &frame), expected);
}

/* A part of a frame, as a full disk leaves it, by a limit on the file's size. */
static void append_part(const struct place *place, struct changelog *log, const char *name,
                        bool cut_fails)
{
    struct stat status;
    CHECK_EQ(fstatat(place->fd, name, &status, 0), 0);
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    for (int i = 0; i < 40; i++)
        frame_add_unlink(&frame, 1, "too-much");
    /* The first call of an append writes, and the second cuts what it wrote of it. */
    io_fault_arm(1, ENOSPC, cut_fails);
    CHECK_EQ(changelog_append(log, &frame), -ENOSPC);
    io_fault_arm(0, 0, false);
    if (!cut_fails)
        return;
    /* What would stand there then. */
    AUTO_FD int fd = io_openat(place->fd, name, O_RDWR, 0);
    CHECK_EQ(io_pwrite(fd, frame.data, frame.size - 8, status.st_size), 0);
}

static void test_append_after_a_failed_one(void **state)
{
    const struct place *place = *state;
    for (int cut_fails = 0; cut_fails < 2; cut_fails++) {
        support_context("the cut %s", cut_fails ? "fails too" : "succeeds");
        struct changelog *log = NULL;
        AUTO_FRAME struct frame first;
        frame_init(&first);
        frame_add_header(&first, &a_header);
        CHECK_EQ(changelog_create(place->fd, "log", &first, &log), 0);
        append_name(log, "one", 0);
        append_part(place, log, "log", cut_fails);
        append_name(log, "two", 0);
        append_part(place, log, "log", cut_fails);
        append_part(place, log, "log", cut_fails);
        append_name(log, "three", 0);
        changelog_close(log);
        AUTO_STORY struct story story;
        uint64_t size;
        CHECK_EQ(replay_name(place, "log", &story, &size), 0);
        const char *from = strchr(story.text, '\n') + 1;
        CHECK(!strcmp(from, "unlink 1 [one]\nunlink 1 [two]\nunlink 1 [three]\n"));
        CHECK_EQ(io_unlinkat(place->fd, "log", 0), 0);
    }
}

static void test_each_call_fails(void **state)
{
    const struct place *place = *state;
    for (int sticky = 0; sticky < 2; sticky++) {
        for (unsigned long nth = 1;; nth++) {
            support_context("call %lu%s", nth, sticky ? " and all later" : "");
            struct changelog *log = NULL;
            AUTO_FRAME struct frame first;
            AUTO_FRAME struct frame whole;
            frame_init(&first);
            frame_add_header(&first, &a_header);
            frame_init(&whole);
            frame_add_header(&whole, &a_header);
            frame_add_unlink(&whole, 1, "replaced");
            io_fault_arm(nth, EIO, sticky);
            int created = changelog_create(place->fd, "log", &first, &log);
            int replaced = created < 0 ? created : changelog_replace(log, &whole);
            unsigned long calls = io_fault_count();
            io_fault_arm(0, 0, false);
            CHECK(created == 0 || created == -EIO);
            CHECK(replaced == 0 || replaced == -EIO);
            if (created == 0) {
                append_name(log, "behind", 0);
                AUTO_STORY struct story story;
                uint64_t size;
                CHECK_EQ(replay_name(place, "log", &story, &size), 0);
                const char *from = strchr(story.text, '\n') + 1;
                CHECK(!strcmp(from, replaced == 0 ? "unlink 1 [replaced]\nunlink 1 [behind]\n"
                                                  : "unlink 1 [behind]\n"));
                CHECK_EQ(changelog_unlink(log), 0);
                changelog_close(log);
            }
            CHECK_EQ(dir_remove_tree(place->fd, "log"), 0);
            CHECK_EQ(dir_remove_tree(place->fd, "log.new"), 0);
            if (calls < nth)
                break;
        }
    }
}

/* Many logs that idle must not take a descriptor each; a rest is nothing that an append sees. */
static void test_rest(void **state)
{
    const struct place *place = *state;
    enum { LOGS = 600 };
    struct changelog *logs[LOGS];
    unsigned before = support_open_fds();
    for (int i = 0; i < LOGS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "log%d", i);
        AUTO_FRAME struct frame first;
        frame_init(&first);
        frame_add_header(&first, &a_header);
        CHECK_EQ(changelog_create(place->fd, name, &first, &logs[i]), 0);
        changelog_rest(logs[i]);
    }
    CHECK(support_open_fds() - before <= 513);
    for (int i = LOGS - 1; i >= 0; i--) {
        append_name(logs[i], "x", 0);
        changelog_rest(logs[i]);
        append_name(logs[i], "y", 0);
        changelog_rest(logs[i]);
    }
    CHECK(support_open_fds() - before <= 513);
    for (int i = 0; i < LOGS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "log%d", i);
        AUTO_STORY struct story story;
        uint64_t size;
        CHECK_EQ(replay_name(place, name, &story, &size), 0);
        CHECK(!strcmp(strchr(story.text, '\n') + 1, "unlink 1 [x]\nunlink 1 [y]\n"));
        changelog_close(logs[i]);
    }
    CHECK_EQ(support_open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_torn_tail),
        TEST(test_append_behind_a_torn_tail),
        TEST(test_flipped_bits),
        TEST(test_flipped_bits_in_the_only_frame),
        TEST(test_frames_out_of_place),
        TEST(test_a_later_version),
        TEST(test_garbage),
        TEST(test_lies),
        TEST(test_append_after_a_failed_one),
        TEST(test_each_call_fails),
        TEST(test_rest),
    };
    return cmocka_run_group_tests_name("overlay-changelog", tests, NULL, NULL);
}
