/*
 * Reads change logs, which may be torn, damaged, of another version, or forged.
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_REPLAY_H
#define MINTFS_OVERLAY_CHANGELOG_REPLAY_H

#include "fs/overlay/changelog_record.h"

/* Called for each record of its kind. Any but `header` may be NULL: such records are skipped. */
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
 * Returns a descriptor for changelog_replay(). If a symbolic link or FIFO is in the log's place,
 * this or changelog_replay() fails with -EBADMSG: the link is not followed, and the FIFO not waited
 * for.
 */
MUST_CHECK int changelog_open_to_read(int dirfd, const char *name);
/*
 * Reads a log frame by frame. The first negative answer of a visitor ends it and is returned.
 * *ret_size is where the last whole frame ends. Returns 1 if the last frame is torn, or has its
 * full length but a wrong checksum, and was left out. -EBADMSG: not a log, or damaged, or without a
 * whole first frame; -EPROTONOSUPPORT: of a later version.
 */
MUST_CHECK int changelog_replay(int fd, const struct changelog_visitor *visitor, void *context,
                                uint64_t *ret_size);

/* What a log records about its session as a whole. */
struct log_summary {
    struct session_header header; /* with the session's current ID */
    struct session_lease lease;
};
/* Errors are those of changelog_replay(); a torn last frame is not an error. */
MUST_CHECK int changelog_summarize(int fd, struct log_summary *ret_summary);
/*
 * Reads only the header: the key is right, but the ID may have changed since, and the lease is
 * empty.
 */
MUST_CHECK int changelog_summarize_header(int fd, struct log_summary *ret_summary);

#endif
