#include "fs/overlay/changelog_replay.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "fs/overlay/changelog_format.h"

/* The log that is being read. */
struct reader {
    int fd;
    int version;
    bool seen_header;
    uint64_t owner; /* the checksums of all frames but the first begin with it */
};

/* The current record of a payload. */
struct cursor {
    struct reader *reader;
    const char *at;
    const char *end;
    struct record_disk head;
    char tail[TARGET_BYTES_MAX + 1];
};

/* Copies the fixed part and the tail, and advances past both; false if they are incomplete. */
static bool take(struct cursor *cursor, void *fixed, size_t fixed_size)
{
    size_t padded = ((size_t)cursor->head.tail + 7) & ~(size_t)7;
    if ((size_t)(cursor->end - cursor->at) < fixed_size + padded ||
        cursor->head.tail > TARGET_BYTES_MAX)
        return false;
    memcpy(fixed, cursor->at, fixed_size);
    memcpy(cursor->tail, cursor->at + fixed_size, cursor->head.tail);
    cursor->tail[cursor->head.tail] = '\0';
    cursor->at += fixed_size + padded;
    return strlen(cursor->tail) == cursor->head.tail;
}

static int replay_header(struct cursor *cursor, const struct changelog_visitor *visitor,
                         void *context)
{
    struct header_disk disk;
    bool is_old = cursor->reader->version < 3;
    size_t size = is_old ? offsetof(struct header_disk, owner) : sizeof(disk);
    if (!take(cursor, &disk, size) || cursor->head.tail > SESSION_ID_MAX)
        return -EBADMSG;
    struct session_header header = {.serial = disk.serial,
                                    .owner = is_old ? disk.serial : disk.owner,
                                    .is_old = is_old,
                                    .uid = disk.uid,
                                    .gid = disk.gid};
    cursor->reader->owner = is_old ? 0 : disk.owner;
    memcpy(header.boot_id, disk.boot_id, BOOT_ID_SIZE);
    memcpy(header.key, disk.key, SHA256_HEX_LENGTH);
    memcpy(header.id, cursor->tail, cursor->head.tail);
    return visitor->header ? visitor->header(&header, context) : 0;
}

static int replay_template(struct cursor *cursor, const struct changelog_visitor *visitor,
                           void *context)
{
    struct template_disk disk;
    struct template_record record;
    if (!take(cursor, &disk, sizeof(disk)))
        return -EBADMSG;
    memcpy(record.digest, disk.digest, sizeof(record.digest));
    return visitor->template ? visitor->template(&record, context) : 0;
}

static int replay_identity(struct cursor *cursor, const struct changelog_visitor *visitor,
                           void *context)
{
    struct identity_disk disk;
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail > SESSION_ID_MAX)
        return -EBADMSG;
    struct identity_record record = {
        .replaced = disk.replaced,
        .lease = {.ends_ns = disk.ends_ns,
                  .owner = {.pid = disk.owner_pid,
                            .start = disk.owner_start,
                            .pid_namespace = disk.owner_pid_namespace,
                            .time_namespace = disk.owner_time_namespace}},
    };
    memcpy(record.id, cursor->tail, cursor->head.tail);
    return visitor->identity ? visitor->identity(&record, context) : 0;
}

/*
 * The namespaces of that process are not recorded, so it is not known whether it still exists.
 */
static int replay_old_identity(struct cursor *cursor, const struct changelog_visitor *visitor,
                               void *context)
{
    struct old_identity_disk disk;
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail > SESSION_ID_MAX)
        return -EBADMSG;
    struct identity_record record = {
        .replaced = disk.renamed ? REPLACED_ANY : 0,
        .lease = {.ends_ns = disk.ends_ns,
                  .owner = {.pid = disk.owner_pid, .start = disk.owner_start}},
    };
    memcpy(record.id, cursor->tail, cursor->head.tail);
    return visitor->identity ? visitor->identity(&record, context) : 0;
}

static int replay_node(struct cursor *cursor, const struct changelog_visitor *visitor,
                       void *context)
{
    struct node_disk disk;
    if (!take(cursor, &disk, sizeof(disk)))
        return -EBADMSG;
    struct node_record record = {
        .node = cursor->head.node,
        .entry = disk.entry,
        .mode = disk.mode,
        .uid = disk.uid,
        .gid = disk.gid,
        .rdev = disk.rdev,
        .size_bytes = disk.size_bytes,
        .lower_limit_bytes = disk.lower_limit_bytes,
        .atime_ns = disk.atime_ns,
        .mtime_ns = disk.mtime_ns,
        .ctime_ns = disk.ctime_ns,
    };
    if (record.size_bytes > FILE_SIZE_LIMIT_BYTES || record.lower_limit_bytes > record.size_bytes)
        return -EBADMSG;
    return visitor->node ? visitor->node(&record, cursor->tail, context) : 0;
}

static int replay_extent(struct cursor *cursor, const struct changelog_visitor *visitor,
                         void *context)
{
    struct extent_disk disk;
    if (!take(cursor, &disk, sizeof(disk)))
        return -EBADMSG;
    struct extent_record record = {
        .node = cursor->head.node,
        .at = disk.at,
        .count = disk.count,
        .block = disk.block,
        .size_bytes = disk.size_bytes,
        .mtime_ns = disk.mtime_ns,
    };
    bool stored = record.block < BLOCK_LIMIT;
    if (record.size_bytes > FILE_SIZE_LIMIT_BYTES ||
        (uint64_t)record.at + record.count > BLOCK_LIMIT ||
        (stored && (uint64_t)record.block + record.count > BLOCK_LIMIT) ||
        (!stored && record.block != BLOCK_ZERO && record.block != BLOCK_ABSENT))
        return -EBADMSG;
    return visitor->extent ? visitor->extent(&record, context) : 0;
}

static int replay_name(struct cursor *cursor, const struct changelog_visitor *visitor,
                       void *context)
{
    struct link_disk disk;
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail == 0 ||
        cursor->head.tail > NAME_BYTES_MAX || strchr(cursor->tail, '/'))
        return -EBADMSG;
    if (cursor->head.type == RECORD_LINK)
        return visitor->link ? visitor->link(cursor->head.node, cursor->tail, disk.target, context)
                             : 0;
    return visitor->unlink ? visitor->unlink(cursor->head.node, cursor->tail, context) : 0;
}

static int replay_payload(struct reader *reader, const char *payload, size_t size,
                          const struct changelog_visitor *visitor, void *context)
{
    struct cursor cursor = {.reader = reader, .at = payload, .end = payload + size};
    while (cursor.at < cursor.end) {
        if ((size_t)(cursor.end - cursor.at) < sizeof(cursor.head))
            return -EBADMSG;
        memcpy(&cursor.head, cursor.at, sizeof(cursor.head));
        cursor.at += sizeof(cursor.head);
        if (reader->seen_header == (cursor.head.type == RECORD_HEADER))
            return -EBADMSG; /* the header comes first, and only once */
        reader->seen_header = true;
        int r = -EBADMSG;
        switch (cursor.head.type) {
        case RECORD_HEADER:
            r = replay_header(&cursor, visitor, context);
            break;
        case RECORD_TEMPLATE:
            r = replay_template(&cursor, visitor, context);
            break;
        case RECORD_IDENTITY:
            r = replay_identity(&cursor, visitor, context);
            break;
        case RECORD_OLD_IDENTITY:
            r = replay_old_identity(&cursor, visitor, context);
            break;
        case RECORD_NODE:
            r = replay_node(&cursor, visitor, context);
            break;
        case RECORD_EXTENT:
            r = replay_extent(&cursor, visitor, context);
            break;
        case RECORD_LINK:
        case RECORD_UNLINK:
            r = replay_name(&cursor, visitor, context);
            break;
        default:
            break;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* 0: unknown. */
static int version_of(uint32_t magic)
{
    return magic == LOG_MAGIC ? 3 : magic == LOG_MAGIC_2 ? 2 : magic == FRAME_MAGIC ? 1 : 0;
}

/* Reads the head of the frame at that offset, which is within the file. */
static int read_head(struct reader *reader, uint64_t offset, struct frame_disk *ret_head)
{
    int r = io_pread_exact(reader->fd, ret_head, sizeof(*ret_head), (off_t)offset);
    if (r < 0)
        return r;
    if (offset == 0)
        reader->version = version_of(ret_head->magic);
    bool is_known = offset == 0 ? reader->version > 0 : ret_head->magic == FRAME_MAGIC;
    if (offset == 0 && !is_known && (ret_head->magic & 0x00ffffff) == FRAME_MAGIC_KIND)
        return -EPROTONOSUPPORT;
    if (!is_known || ret_head->check != frame_checksum(reader->owner, offset, ret_head,
                                                       offsetof(struct frame_disk, check)))
        return -EBADMSG;
    return 0;
}

int changelog_open_to_read(int dirfd, const char *name)
{
    int fd = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    return fd == -ELOOP || fd == -ENXIO ? -EBADMSG : fd;
}

int changelog_replay(int fd, const struct changelog_visitor *visitor, void *context,
                     uint64_t *ret_size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    uint64_t end = (uint64_t)status.st_size;
    if (!S_ISREG(status.st_mode))
        return -EBADMSG;
    struct reader reader = {.fd = fd};
    bool is_cut = false;
    uint64_t offset = 0;
    while (end - offset >= sizeof(struct frame_disk)) {
        struct frame_disk head;
        int r = read_head(&reader, offset, &head);
        if (r < 0)
            return r;
        uint64_t next = offset + sizeof(head) + head.size;
        if (next > end)
            break; /* torn */
        AUTO_FREE char *payload = malloc(head.size ? head.size : 1);
        if (!payload)
            return -ENOMEM;
        r = io_pread_exact(fd, payload, head.size, (off_t)(offset + sizeof(head)));
        if (r < 0)
            return r;
        if (frame_checksum(reader.owner, offset, payload, head.size) != head.crc) {
            /*
             * Not if it is also the first frame: without it the session would be lost without a
             * message.
             */
            is_cut = next == end && offset > 0;
            if (is_cut)
                break;
            return -EBADMSG;
        }
        r = replay_payload(&reader, payload, head.size, visitor, context);
        if (r < 0)
            return r;
        offset = next;
    }
    if (!reader.seen_header)
        return -EBADMSG;
    *ret_size = offset;
    return is_cut || offset < end;
}

struct summary_reader {
    struct log_summary *summary;
    bool header_only;
};

static int take_header(const struct session_header *header, void *context)
{
    const struct summary_reader *reader = context;
    reader->summary->header = *header;
    return reader->header_only ? -ECANCELED : 0;
}

static int take_identity(const struct identity_record *record, void *context)
{
    const struct summary_reader *reader = context;
    struct log_summary *summary = reader->summary;
    memcpy(summary->header.id, record->id, sizeof(summary->header.id));
    summary->lease = record->lease;
    return 0;
}

static int summarize(int fd, bool header_only, struct log_summary *ret_summary)
{
    static const struct changelog_visitor visitor = {.header = take_header,
                                                     .identity = take_identity};
    struct log_summary summary = {.lease = {.ends_ns = 0}};
    struct summary_reader reader = {.summary = &summary, .header_only = header_only};
    uint64_t size;
    int r = changelog_replay(fd, &visitor, &reader, &size);
    if (r < 0 && r != -ECANCELED)
        return r;
    *ret_summary = summary;
    return 0;
}

int changelog_summarize(int fd, struct log_summary *ret_summary)
{
    return summarize(fd, false, ret_summary);
}

int changelog_summarize_header(int fd, struct log_summary *ret_summary)
{
    return summarize(fd, true, ret_summary);
}
