/*
 * The records of a change log, and the frame in which records that belong together are written.
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_RECORD_H
#define MINTFS_OVERLAY_CHANGELOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/process.h"
#include "fs/base/sha256.h"
#include "fs/overlay/blockmap.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

enum { NAME_BYTES_MAX = 255, TARGET_BYTES_MAX = 4095 };

/* The first record of every log. */
struct session_header {
    uint64_t serial;
    uint64_t owner; /* of its blocks (owners.h), random; in a log of an older version the serial */
    bool is_old;    /* only when read: the log is of an older version */
    uint32_t uid;   /* the user who made the session and owns the template's files in it */
    uint32_t gid;
    char boot_id[BOOT_ID_SIZE + 1];
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
};

/* The template that the session is based on: another template built under the same key differs. */
struct template_record {
    uint8_t digest[SHA256_SIZE_BYTES]; /* of lower_digest() */
};

/* What can change about a session itself: its ID (when it is renamed) and its lease. */
struct identity_record {
    char id[SESSION_ID_MAX + 1];
    uint32_t replaced; /* the serial of the session that had this ID; 0: none. See REPLACED_ANY */
    struct session_lease lease;
};

/*
 * In a log of an older version: the session was renamed, but which session it replaced is not
 * known.
 */
#define REPLACED_ANY UINT32_MAX

/* All attributes of a node. */
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

/* Consecutive blocks of a file: in storage, BLOCK_ZERO, or BLOCK_ABSENT (released). */
struct extent_record {
    uint32_t node;
    fileblock_t at;
    uint32_t count;
    block_t block;
    uint64_t size_bytes; /* the file's size after this change */
    int64_t mtime_ns;
};

/* A frame under construction. If memory runs out, changelog_append() reports it. */
struct frame {
    char *data;
    size_t size;
    size_t room;
    bool failed;
    bool frees;     /* it records a removal, for which the reserve may be spent on a full disk */
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

#endif
