/*
 * Reading change logs. They may be torn, damaged, of another version, or lie.
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_REPLAY_H
#define MINTFS_OVERLAY_CHANGELOG_REPLAY_H

#include "fs/overlay/changelog_record.h"

/* NULL, but for header: records of that kind are passed over. */
struct changelog_visitor {
    int (*header)(const struct session_header *header, void *context);
    int (*template)(const struct template_record *record, void *context);
    int (*identity)(const struct identity_record *record, void *context);
    int (*node)(const struct node_record *record, const char *target, void *context);
    int (*extent)(const struct extent_record *record, void *context);
    int (*link)(uint32_t parent, const char *name, uint32_t node, void *context);
    int (*unlink)(uint32_t parent, const char *name, void *context);
};

/*
 * A descriptor for changelog_replay(). What somebody has put in a log's place is neither followed
 * nor waited for: -EBADMSG, from here or from there.
 */
MUST_CHECK int changelog_open_to_read(int dirfd, const char *name);
/*
 * Reads a log frame by frame; the first negative answer ends it and is returned. *ret_size is
 * where the last whole frame ends. 1: the last frame is torn, or has its length, but not its bytes,
 * and was left out. -EBADMSG: no log of ours or damaged, as is one without a whole first frame;
 * -EPROTONOSUPPORT: of a later version.
 */
MUST_CHECK int changelog_replay(int fd, const struct changelog_visitor *visitor, void *context,
                                uint64_t *ret_size);

/* What a log tells of its session as a whole. */
struct log_summary {
    struct session_header header; /* with the ID that it has now */
    struct session_lease lease;
};
/* As changelog_replay(), without its 1. */
MUST_CHECK int changelog_summarize(int fd, struct log_summary *ret_summary);
/* Reads the header alone: the key is right, but the ID and the lease may have changed since. */
MUST_CHECK int changelog_summarize_header(int fd, struct log_summary *ret_summary);

#endif
