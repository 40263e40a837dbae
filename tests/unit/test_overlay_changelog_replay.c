/*
 * Reading change logs that are torn, damaged, of another version, forged, or random.
 */
#include "tests/unit/support_log.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_record.h"

/* A killed daemon leaves the beginning of its last frame. */
static void test_a_torn_tail_is_left_out(void **state)
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
            /* A log always has its first frame. */
            CHECK_EQ(r, -EBADMSG);
        } else {
            CHECK_EQ(r, cut > sample.at[whole]);
            CHECK_EQ(size, sample.at[whole]);
            CHECK(same_story(&story, &sample.told[whole]));
        }
    }
    sample_log_fini(&sample);
}

/* One flipped bit is damage that is found, but in the last frame, which may be taken for torn. */
static void test_flipped_bits_are_found(void **state)
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

/*
 * A log of one frame, as compaction leaves it, is never taken for torn: it would be lost without a
 * message.
 */
static void test_flipped_bits_in_the_only_frame_are_found(void **state)
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

static void test_frames_of_other_places_or_logs_are_refused(void **state)
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

static void test_a_later_version_is_refused(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_STORY struct story story;
    uint64_t size;
    sample.bytes[3] = '4';
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
            /* After the 16 bytes that are filled in when it is written; often small numbers. */
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

static void test_random_bytes_are_refused(void **state)
{
    support_each_seed(20, run_garbage, *state);
}

static void test_impossible_records_are_refused(void **state)
{
    const struct place *place = *state;
    struct extent_record extents[] = {an_extent, an_extent, an_extent, an_extent};
    extents[0].at = BLOCK_LIMIT;
    extents[1].block = BLOCK_LIMIT;
    extents[2].block = BLOCK_LIMIT - extents[2].count + 1;
    extents[3].size_bytes = FILE_SIZE_LIMIT_BYTES + 1;
    struct node_record nodes[] = {a_node, a_node};
    nodes[0].size_bytes = FILE_SIZE_LIMIT_BYTES + 1;
    nodes[1].lower_limit_bytes = nodes[1].size_bytes + 1;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_torn_tail_is_left_out),
        TEST(test_flipped_bits_are_found),
        TEST(test_flipped_bits_in_the_only_frame_are_found),
        TEST(test_frames_of_other_places_or_logs_are_refused),
        TEST(test_a_later_version_is_refused),
        TEST(test_random_bytes_are_refused),
        TEST(test_impossible_records_are_refused),
    };
    return cmocka_run_group_tests_name("overlay-changelog-replay", tests, NULL, NULL);
}
