/*
 * The layout of a change log. It is a sequence of frames:
 *
 *     u32 magic   "mfl3" in the first frame, "mfl1" in the others
 *     u32 size    of the payload, in bytes, a multiple of 8
 *     u32 crc     CRC-32 (zlib) of the payload, begun with the log's owner and the frame's offset
 *     u32 check   the same of the three words before it, so that the size can be trusted
 *     payload     records
 *
 * and a record is
 *
 *     u16 type, u16 tail (bytes after the fixed part, without padding), u32 node
 *     fixed part, by type: the structs *_disk below
 *     tail: a name or a link's target, without a NUL, padded with zeros to 8 bytes
 *
 * all in the byte order of the machine, since a log is not used after the next boot. The first
 * record of the first frame is the header. The first frame's magic gives the log's version:
 * "mfl3" becomes "mfl4" when this layout changes. The first frame's checksums begin with 0 instead
 * of the owner, which is in its header. The checksums of the others begin with the owner, so a
 * frame of another log is not taken for one of this log.
 *
 * Earlier versions can be read; such a log is rewritten when its session is recovered:
 *
 *     mfl2   the header has no owner: all checksums begin with 0, and the session's serial is its
 *            owner; RECORD_OLD_IDENTITY has the owner process without its namespaces, and not
 *            which session this one replaced
 *     mfl1   also has no RECORD_TEMPLATE
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_FORMAT_H
#define MINTFS_OVERLAY_CHANGELOG_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/process.h"
#include "fs/base/sha256.h"

#define FRAME_MAGIC ((uint32_t)0x316c666d)      /* "mfl1"; the first frame's in version 1, too */
#define LOG_MAGIC_2 ((uint32_t)0x326c666d)      /* "mfl2" */
#define LOG_MAGIC ((uint32_t)0x336c666d)        /* "mfl3" */
#define FRAME_MAGIC_KIND ((uint32_t)0x006c666d) /* any version of it */

enum record_type {
    RECORD_HEADER = 1,
    RECORD_NODE = 2,
    RECORD_EXTENT = 3,
    RECORD_LINK = 4,
    RECORD_UNLINK = 5,
    RECORD_OLD_IDENTITY = 6,
    RECORD_TEMPLATE = 7,
    RECORD_IDENTITY = 8,
};

struct frame_disk {
    uint32_t magic;
    uint32_t size;
    uint32_t crc;
    uint32_t check;
};

struct record_disk {
    uint16_t type;
    uint16_t tail;
    uint32_t node;
};

struct header_disk {
    uint64_t serial;
    uint32_t uid;
    uint32_t gid;
    char boot_id[BOOT_ID_SIZE + 4];
    char key[SHA256_HEX_LENGTH];
    uint64_t owner; /* from version 3 on */
};

struct identity_disk {
    int64_t ends_ns;
    uint64_t owner_start;
    uint64_t owner_pid_namespace;
    uint64_t owner_time_namespace;
    int32_t owner_pid;
    uint32_t replaced;
};

struct old_identity_disk {
    int64_t ends_ns;
    uint64_t owner_start;
    int32_t owner_pid;
    uint32_t renamed;
};

struct template_disk {
    uint8_t digest[SHA256_SIZE_BYTES];
};

struct node_disk {
    uint64_t rdev;
    uint64_t size_bytes;
    uint64_t lower_limit_bytes;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint32_t entry;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
};

struct extent_disk {
    uint64_t size_bytes;
    int64_t mtime_ns;
    uint32_t at;
    uint32_t count;
    uint32_t block;
    uint32_t zero;
};

struct link_disk {
    uint32_t target; /* a node; unused in an unlink */
    uint32_t zero;
};

/*
 * The checksum of bytes in the frame that begins at this offset of the log. `owner` is 0 in the
 * first frame and in logs of older versions.
 */
uint32_t frame_checksum(uint64_t owner, uint64_t offset, const void *bytes, size_t size);

#endif
