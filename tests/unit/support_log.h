/*
 * What the tests of change logs share: a sample log, and the records of a log as text.
 */
#ifndef MINTFS_TESTS_SUPPORT_LOG_H
#define MINTFS_TESTS_SUPPORT_LOG_H

#include "tests/unit/support.h"

#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_record.h"

/* The records that a visitor got, one per line. */
struct story {
    FILE *stream;
    char *text;
    size_t size;
};
void story_begin(struct story *story);
void story_end(struct story *story);
void story_fini(struct story *story);
#define AUTO_STORY CLEANUP(story_fini)
bool same_story(const struct story *a, const struct story *b);

/* Each adds its record to the story that is the context. */
int tell_header(const struct session_header *header, void *context);
int tell_template(const struct template_record *record, void *context);
int tell_identity(const struct identity_record *record, void *context);
int tell_node(const struct node_record *record, const char *target, void *context);
int tell_extent(const struct extent_record *record, void *context);
int tell_link(uint32_t parent, const char *name, uint32_t node, void *context);
int tell_unlink(uint32_t parent, const char *name, void *context);

/* Calls changelog_replay() with a story, which the caller frees even after an error. */
int replay_fd(int fd, struct story *ret_story, uint64_t *ret_size);
int replay_name(const struct place *place, const char *name, struct story *ret_story,
                uint64_t *ret_size);
/* A descriptor of a file with these bytes, which the test may damage. */
int bytes_fd(const void *bytes, size_t size);

extern const struct session_header a_header;
extern const struct template_record a_template;
extern const struct identity_record an_identity;
extern const struct node_record a_node;
extern const struct extent_record an_extent;

/* Appends a record of each kind except the header. */
void add_some(struct frame *frame);

enum { FRAMES = 5 };

/* The log's bytes, and its records up to each of its frames. */
struct sample_log {
    uint64_t at[FRAMES + 1];
    char *bytes;
    size_t size;
    struct story told[FRAMES + 1]; /* [n]: of the first n frames */
};
void sample_log_init(const struct place *place, struct sample_log *sample);
void sample_log_fini(struct sample_log *sample);

#endif
