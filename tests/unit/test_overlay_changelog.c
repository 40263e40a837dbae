/*
 * What is written to a change log is read back, and a failed append leaves nothing.
 */
#include "tests/unit/support_log.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_record.h"

static void test_records_are_read_as_written(void **state)
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

/* The tail is cut off before the next frame is written. */
static void test_an_append_overwrites_a_torn_tail(void **state)
{
    const struct place *place = *state;
    struct sample_log sample;
    sample_log_init(place, &sample);
    AUTO_FD int fd = io_openat(place->fd, "log", O_RDWR, 0);
    CHECK_EQ(io_ftruncate(fd, (off_t)sample.at[3] - 1), 0);
    struct changelog *log = NULL;
    CHECK_EQ(changelog_open(place->fd, "log", a_header.owner, sample.at[2], &log), 0);
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
    /* The first call of an append writes, and the second cuts off what the first one wrote. */
    io_fault_arm(1, ENOSPC, cut_fails);
    CHECK_EQ(changelog_append(log, &frame), -ENOSPC);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    if (!cut_fails)
        return;
    /* What would stand there then. */
    AUTO_FD int fd = io_openat(place->fd, name, O_RDWR, 0);
    CHECK_EQ(io_pwrite(fd, frame.data, frame.size - 8, status.st_size), 0);
}

static void test_an_append_overwrites_a_failed_one(void **state)
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

static void test_a_failed_call_leaves_the_log_whole(void **state)
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
            io_fault_arm(0, 0, IO_FAULT_ONCE);
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
static void test_idle_logs_are_closed(void **state)
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
        TEST(test_records_are_read_as_written),
        TEST(test_an_append_overwrites_a_torn_tail),
        TEST(test_an_append_overwrites_a_failed_one),
        TEST(test_a_failed_call_leaves_the_log_whole),
        TEST(test_idle_logs_are_closed),
    };
    return cmocka_run_group_tests_name("overlay-changelog", tests, NULL, NULL);
}
