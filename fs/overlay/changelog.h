/*
 * The change log of one session: all that must outlive a killed daemon, but for the blocks' bytes.
 *
 * Append-only frames of records over stable node numbers, on top of the template's manifest, which
 * is the tree at time zero. The layout stands in changelog_format.h. A frame is one system
 * call and has one checksum: what belongs together (a rename's two names) is in one frame. A torn
 * tail is dropped. When the log has grown to twice its size after the last compaction, the session
 * writes itself anew (session_compact()).
 *
 * Order is what makes it safe: a block's bytes are written before the record that shows it, and
 * the record that lets go of a block is written before the block is given to others. Nothing is
 * synced: the page cache outlives the daemon, and sessions need not outlive the machine.
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_H
#define MINTFS_OVERLAY_CHANGELOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/overlay/blockmap.h"
#include "fs/overlay/session.h"

enum { NAME_BYTES_MAX = 255, TARGET_BYTES_MAX = 4095 };

/* What begins every log. */
struct session_header {
    uint64_t serial;
    uint64_t owner; /* of its blocks (owners.h), random; in a log of an older version the serial */
    bool is_old;    /* only read: the log is of an older version */
    uint32_t uid;   /* the user who made it, and who owns the template's files in it */
    uint32_t gid;
    char boot_id[BOOT_ID_SIZE + 1];
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
};

/* What the session stands on: another template of the same key is not it. */
struct template_record {
    uint8_t digest[SHA256_SIZE_BYTES]; /* of lower_digest() */
};

/* What may change about a session itself: its ID (by a rename) and its lease. */
struct identity_record {
    char id[SESSION_ID_MAX + 1];
    uint32_t replaced; /* the serial of the session that had this ID; 0: none. See REPLACED_ANY */
    struct session_lease lease;
};

/* In a log of an older version: the session was renamed, and whom it replaced is not known. */
#define REPLACED_ANY UINT32_MAX

/* A node's attributes, whole. */
struct node_record {
    uint32_t node;
    uint32_t entry; /* its entry in the template, or LOWER_NONE */
    uint32_t mode;  /* type and permissions */
    uint32_t uid;
    uint32_t gid;
    uint64_t rdev;
    uint64_t size_bytes;
    uint64_t lower_limit_bytes;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* Blocks of a file, in a row: in storage, or BLOCK_ZERO, or BLOCK_ABSENT (given back). */
struct extent_record {
    uint32_t node;
    fileblock_t at;
    uint32_t count;
    block_t block;
    uint64_t size_bytes; /* the file's size from then on */
    int64_t mtime_ns;
};

/* A frame that is being put together. Failure of memory is remembered and told by append. */
struct frame {
    char *data;
    size_t size;
    size_t room;
    bool failed;
    bool frees;     /* it says that something goes: worth the reserve of a full disk */
    uint64_t owner; /* that of the header in it, or 0 */
    char small[512];
};

void frame_init(struct frame *frame);
void frame_fini(struct frame *frame);
#define AUTO_FRAME CLEANUP(frame_fini)

void frame_add_header(struct frame *frame, const struct session_header *header);
void frame_add_template(struct frame *frame, const struct template_record *record);
void frame_add_identity(struct frame *frame, const struct identity_record *record);
void frame_add_node(struct frame *frame, const struct node_record *record, const char *target);
void frame_add_extent(struct frame *frame, const struct extent_record *record);
void frame_add_link(struct frame *frame, uint32_t parent, const char *name, uint32_t node);
void frame_add_unlink(struct frame *frame, uint32_t parent, const char *name);

struct changelog;

/* Makes the log NAME below dirfd with a first frame, both at once (NAME.new until then); dirfd stays
 * the caller's. -EEXIST. */
MUST_CHECK int changelog_create(int dirfd, const char *name, const struct frame *first,
                                struct changelog **ret_log);
/*
 * Opens one that is there, cut to `size_bytes`, what changelog_replay() returned, for appending; the
 * owner is that of its header, 0 for a log of an older version, which stays one until it is replaced.
 */
MUST_CHECK int changelog_open(int dirfd, const char *name, uint64_t owner, uint64_t size_bytes,
                              struct changelog **ret_log);
/* Removes the file: recovery finds the session no more. */
MUST_CHECK int changelog_unlink(struct changelog *log);
void changelog_close(struct changelog *log);

/* One frame, whole or not at all: what a failed one left is cut off, at the latest before the next.
 * Safe from several threads. */
MUST_CHECK int changelog_append(struct changelog *log, const struct frame *frame);

uint64_t changelog_size(struct changelog *log);
/* Whether the log is worth a compaction. */
bool changelog_is_long(struct changelog *log);
/* Replaces the log by this one frame, which says all. Nobody may append meanwhile. */
MUST_CHECK int changelog_replace(struct changelog *log, const struct frame *whole);

/* For a session that idles: closes the descriptor until the next append if very many are open. */
void changelog_rest(struct changelog *log);

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
/* As changelog_replay(), without its 1. With header_only the rest is not read. */
MUST_CHECK int changelog_summarize(int fd, bool header_only, struct log_summary *ret_summary);

#endif
