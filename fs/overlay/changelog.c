/*
 * The log is a sequence of frames:
 *
 *     u32 magic   "mfl1"
 *     u32 size    of the payload, in bytes, a multiple of 8
 *     u32 crc     CRC-32 (zlib) of the payload, begun with the frame's offset in the file
 *     u32 check   the same of the three words before, so that the size can be trusted
 *     payload     records
 *
 * and a record is
 *
 *     u16 type, u16 tail (bytes behind the fixed part, before padding), u32 node
 *     fixed part, by type: the structs *_disk below
 *     tail: a name or a link's target, without a NUL, padded with zeros to 8 bytes
 *
 * all in the byte order of the machine: a log is of use only on the boot that wrote it. The first
 * record of the first frame is the header. "mfl1" becomes "mfl2" when this changes.
 */
#include "fs/overlay/changelog.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "fs/base/io.h"
#include "fs/base/log.h"

static const uint32_t frame_magic = 0x316c666d;      /* "mfl1" */
static const uint32_t frame_magic_kind = 0x006c666d; /* any version of it */

enum {
    COMPACT_FROM_BYTES = 64 << 10,
    TAIL_MAX = TARGET_BYTES_MAX,
    /* So many logs may stay open although their sessions idle. */
    OPEN_LOGS_MAX = 512,
};

static atomic_int open_logs;

enum record_type {
    RECORD_HEADER = 1,
    RECORD_NODE = 2,
    RECORD_EXTENT = 3,
    RECORD_LINK = 4,
    RECORD_UNLINK = 5,
    RECORD_IDENTITY = 6,
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
};

struct identity_disk {
    int64_t ends_ns;
    uint64_t owner_start;
    int32_t owner_pid;
    uint32_t renamed;
};

struct node_disk {
    uint64_t rdev;
    uint64_t size_bytes;
    uint64_t base_limit_bytes;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint32_t base;
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
    uint32_t target; /* a node; of no meaning in an unlink */
    uint32_t zero;
};

struct changelog {
    pthread_mutex_t mutex;
    int dirfd;
    int fd;    /* -1: at rest */
    bool torn; /* behind `size` stands a part of a frame */
    uint64_t size;
    uint64_t compact_at;
    char name[];
};

void frame_init(struct frame *frame)
{
    frame->data = frame->small;
    frame->room = sizeof(frame->small);
    frame->size = sizeof(struct frame_disk);
    frame->failed = false;
    frame->frees = false;
}

void frame_fini(struct frame *frame)
{
    if (frame->data != frame->small)
        free(frame->data);
}

static void *frame_reserve(struct frame *frame, size_t size)
{
    if (frame->size + size > frame->room) {
        size_t room = (frame->size + size) * 2;
        char *data = malloc(room);
        if (!data) {
            frame->failed = true;
            return NULL;
        }
        memcpy(data, frame->data, frame->size);
        frame_fini(frame);
        frame->data = data;
        frame->room = room;
    }
    void *place = frame->data + frame->size;
    frame->size += size;
    return place;
}

static void add(struct frame *frame, enum record_type type, uint32_t node, const void *fixed,
                size_t fixed_size, const char *tail)
{
    size_t tail_size = tail ? strlen(tail) : 0;
    size_t padded = (tail_size + 7) & ~(size_t)7;
    struct record_disk head = {.type = (uint16_t)type, .tail = (uint16_t)tail_size, .node = node};
    char *place = frame_reserve(frame, sizeof(head) + fixed_size + padded);
    if (!place)
        return;
    memcpy(place, &head, sizeof(head));
    memcpy(place + sizeof(head), fixed, fixed_size);
    memset(place + sizeof(head) + fixed_size, 0, padded);
    if (tail_size)
        memcpy(place + sizeof(head) + fixed_size, tail, tail_size);
}

void frame_add_header(struct frame *frame, const struct session_header *header)
{
    struct header_disk disk = {.serial = header->serial, .uid = header->uid, .gid = header->gid};
    memcpy(disk.boot_id, header->boot_id, BOOT_ID_SIZE);
    memcpy(disk.key, header->key, SHA256_HEX_LENGTH);
    add(frame, RECORD_HEADER, 0, &disk, sizeof(disk), header->id);
}

void frame_add_identity(struct frame *frame, const struct identity_record *record)
{
    struct identity_disk disk = {
        .ends_ns = record->lease.ends_ns,
        .owner_start = record->lease.owner_start,
        .owner_pid = record->lease.owner_pid,
        .renamed = record->renamed,
    };
    add(frame, RECORD_IDENTITY, 0, &disk, sizeof(disk), record->id);
}

void frame_add_node(struct frame *frame, const struct node_record *record, const char *target)
{
    struct node_disk disk = {
        .rdev = record->rdev,
        .size_bytes = record->size_bytes,
        .base_limit_bytes = record->base_limit_bytes,
        .atime_ns = record->atime_ns,
        .mtime_ns = record->mtime_ns,
        .ctime_ns = record->ctime_ns,
        .base = record->base,
        .mode = record->mode,
        .uid = record->uid,
        .gid = record->gid,
    };
    add(frame, RECORD_NODE, record->node, &disk, sizeof(disk), target);
}

void frame_add_extent(struct frame *frame, const struct extent_record *record)
{
    struct extent_disk disk = {
        .size_bytes = record->size_bytes,
        .mtime_ns = record->mtime_ns,
        .at = record->at,
        .count = record->count,
        .block = record->block,
    };
    add(frame, RECORD_EXTENT, record->node, &disk, sizeof(disk), NULL);
}

void frame_add_link(struct frame *frame, uint32_t parent, const char *name, uint32_t node)
{
    struct link_disk disk = {.target = node};
    add(frame, RECORD_LINK, parent, &disk, sizeof(disk), name);
}

void frame_add_unlink(struct frame *frame, uint32_t parent, const char *name)
{
    struct link_disk disk = {0};
    add(frame, RECORD_UNLINK, parent, &disk, sizeof(disk), name);
}

static uint32_t checksum(uint64_t offset, const void *payload, size_t size)
{
    uLong crc = crc32_z(0, (const Bytef *)&offset, sizeof(offset));
    return (uint32_t)crc32_z(crc, payload, size);
}

static int write_frame(int fd, uint64_t offset, const struct frame *frame)
{
    if (frame->failed)
        return -ENOMEM;
    size_t payload = frame->size - sizeof(struct frame_disk);
    if (payload > UINT32_MAX)
        return -EFBIG;
    struct frame_disk head = {
        .magic = frame_magic,
        .size = (uint32_t)payload,
        .crc = checksum(offset, frame->data + sizeof(head), payload),
    };
    head.check = checksum(offset, &head, offsetof(struct frame_disk, check));
    memcpy(frame->data, &head, sizeof(head));
    return io_pwrite(fd, frame->data, frame->size, (off_t)offset);
}

static struct changelog *changelog_new(int dirfd, const char *name)
{
    size_t length = strlen(name) + 1;
    struct changelog *log = calloc(1, sizeof(*log) + length);
    if (!log)
        return NULL;
    pthread_mutex_init(&log->mutex, NULL);
    memcpy(log->name, name, length);
    log->dirfd = dirfd;
    log->fd = -1;
    return log;
}

/* Takes the place of whatever descriptor there was; -1: none. */
static void set_fd(struct changelog *log, int fd)
{
    if (log->fd >= 0) {
        (void)close(log->fd);
        atomic_fetch_sub(&open_logs, 1);
    }
    log->fd = fd >= 0 ? fd : -1;
    if (log->fd >= 0)
        atomic_fetch_add(&open_logs, 1);
}

static void set_size(struct changelog *log, uint64_t size)
{
    log->size = size;
    log->compact_at = size * 2 > COMPACT_FROM_BYTES ? size * 2 : COMPACT_FROM_BYTES;
}

int changelog_create(int dirfd, const char *name, const struct frame *first,
                     struct changelog **ret_log)
{
    struct changelog *log = changelog_new(dirfd, name);
    if (!log)
        return -ENOMEM;
    int fd = io_openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    set_fd(log, fd);
    int r = fd < 0 ? fd : write_frame(fd, 0, first);
    if (r < 0) {
        if (fd >= 0 && changelog_unlink(log) < 0)
            log_warning("an unfinished change log stays behind: %s", name);
        changelog_close(log);
        return r;
    }
    set_size(log, first->size);
    *ret_log = log;
    return 0;
}

int changelog_open(int dirfd, const char *name, uint64_t size_bytes, struct changelog **ret_log)
{
    struct changelog *log = changelog_new(dirfd, name);
    if (!log)
        return -ENOMEM;
    int fd = io_openat(dirfd, name, O_RDWR | O_NOFOLLOW, 0);
    set_fd(log, fd);
    int r = fd < 0 ? fd : io_ftruncate(fd, (off_t)size_bytes);
    if (r < 0) {
        changelog_close(log);
        return r;
    }
    set_size(log, size_bytes);
    *ret_log = log;
    return 0;
}

int changelog_unlink(struct changelog *log)
{
    return io_unlinkat(log->dirfd, log->name, 0);
}

void changelog_close(struct changelog *log)
{
    if (!log)
        return;
    set_fd(log, -1);
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

/* What was written of a frame must not stand behind a shorter one that follows. */
static int cut_tail(struct changelog *log)
{
    int r = io_ftruncate(log->fd, (off_t)log->size);
    log->torn = r < 0;
    return r;
}

int changelog_append(struct changelog *log, const struct frame *frame)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    if (log->fd < 0) {
        int fd = io_openat(log->dirfd, log->name, O_RDWR | O_NOFOLLOW, 0);
        if (fd < 0)
            return fd;
        set_fd(log, fd);
    }
    int r = log->torn ? cut_tail(log) : 0;
    if (r < 0)
        return r;
    r = write_frame(log->fd, log->size, frame);
    if (r == 0) {
        log->size += frame->size;
        return 0;
    }
    /* If that fails too, it is tried again before the next. */
    (void)cut_tail(log);
    return r;
}

bool changelog_is_long(struct changelog *log)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    return log->size > log->compact_at;
}

int changelog_replace(struct changelog *log, const struct frame *whole)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    AUTO_FREE char *beside = NULL;
    if (asprintf(&beside, "%s.new", log->name) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    AUTO_FD int fd = io_openat(log->dirfd, beside, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? fd : write_frame(fd, 0, whole);
    if (r == 0)
        r = io_renameat(log->dirfd, beside, log->dirfd, log->name);
    if (r < 0) {
        /* Tried again only when it has grown as much again; recovery sweeps what stays behind. */
        log->compact_at = log->size * 2;
        if (fd >= 0)
            (void)unlinkat(log->dirfd, beside, 0);
        return r;
    }
    set_fd(log, steal_fd(&fd));
    set_size(log, whole->size);
    log->torn = false;
    return 0;
}

void changelog_rest(struct changelog *log)
{
    if (atomic_load(&open_logs) <= OPEN_LOGS_MAX)
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    set_fd(log, -1);
}

/* One record of a payload: where its parts are. */
struct cursor {
    const char *at;
    const char *end;
    struct record_disk head;
    char tail[TAIL_MAX + 1];
};

/* Copies out the fixed part and the tail, and steps over both; false if they are not all there. */
static bool take(struct cursor *cursor, void *fixed, size_t fixed_size)
{
    size_t padded = ((size_t)cursor->head.tail + 7) & ~(size_t)7;
    if ((size_t)(cursor->end - cursor->at) < fixed_size + padded || cursor->head.tail > TAIL_MAX)
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
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail > SESSION_ID_MAX)
        return -EBADMSG;
    struct session_header header = {.serial = disk.serial, .uid = disk.uid, .gid = disk.gid};
    memcpy(header.boot_id, disk.boot_id, BOOT_ID_SIZE);
    memcpy(header.key, disk.key, SHA256_HEX_LENGTH);
    memcpy(header.id, cursor->tail, cursor->head.tail);
    return visitor->header(&header, context);
}

static int replay_identity(struct cursor *cursor, const struct changelog_visitor *visitor,
                           void *context)
{
    struct identity_disk disk;
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail > SESSION_ID_MAX)
        return -EBADMSG;
    struct identity_record record = {
        .renamed = disk.renamed,
        .lease = {.ends_ns = disk.ends_ns,
                  .owner_pid = disk.owner_pid,
                  .owner_start = disk.owner_start},
    };
    memcpy(record.id, cursor->tail, cursor->head.tail);
    return visitor->identity(&record, context);
}

static int replay_node(struct cursor *cursor, const struct changelog_visitor *visitor,
                       void *context)
{
    struct node_disk disk;
    if (!take(cursor, &disk, sizeof(disk)))
        return -EBADMSG;
    struct node_record record = {
        .node = cursor->head.node,
        .base = disk.base,
        .mode = disk.mode,
        .uid = disk.uid,
        .gid = disk.gid,
        .rdev = disk.rdev,
        .size_bytes = disk.size_bytes,
        .base_limit_bytes = disk.base_limit_bytes,
        .atime_ns = disk.atime_ns,
        .mtime_ns = disk.mtime_ns,
        .ctime_ns = disk.ctime_ns,
    };
    if (record.size_bytes > FILE_SIZE_LIMIT_BYTES || record.base_limit_bytes > record.size_bytes)
        return -EBADMSG;
    return visitor->node(&record, cursor->tail, context);
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
    return visitor->extent(&record, context);
}

static int replay_name(struct cursor *cursor, const struct changelog_visitor *visitor,
                       void *context)
{
    struct link_disk disk;
    if (!take(cursor, &disk, sizeof(disk)) || cursor->head.tail == 0 ||
        cursor->head.tail > NAME_BYTES_MAX || strchr(cursor->tail, '/'))
        return -EBADMSG;
    if (cursor->head.type == RECORD_LINK)
        return visitor->link(cursor->head.node, cursor->tail, disk.target, context);
    return visitor->unlink(cursor->head.node, cursor->tail, context);
}

static int replay_payload(const char *payload, size_t size, bool *seen_header,
                          const struct changelog_visitor *visitor, void *context)
{
    struct cursor cursor = {.at = payload, .end = payload + size};
    while (cursor.at < cursor.end) {
        if ((size_t)(cursor.end - cursor.at) < sizeof(cursor.head))
            return -EBADMSG;
        memcpy(&cursor.head, cursor.at, sizeof(cursor.head));
        cursor.at += sizeof(cursor.head);
        if (*seen_header == (cursor.head.type == RECORD_HEADER))
            return -EBADMSG; /* first, and only once */
        *seen_header = true;
        int r = -EBADMSG;
        switch (cursor.head.type) {
        case RECORD_HEADER:
            r = replay_header(&cursor, visitor, context);
            break;
        case RECORD_IDENTITY:
            r = replay_identity(&cursor, visitor, context);
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

/* The head of the frame at that offset, which lies within the file. */
static int read_head(int fd, uint64_t offset, struct frame_disk *ret_head)
{
    int r = io_pread_exact(fd, ret_head, sizeof(*ret_head), (off_t)offset);
    if (r < 0)
        return r;
    if (offset == 0 && ret_head->magic != frame_magic &&
        (ret_head->magic & 0x00ffffff) == frame_magic_kind)
        return -EPROTONOSUPPORT;
    if (ret_head->magic != frame_magic ||
        ret_head->check != checksum(offset, ret_head, offsetof(struct frame_disk, check)))
        return -EBADMSG;
    return 0;
}

int changelog_replay(int fd, const struct changelog_visitor *visitor, void *context,
                     uint64_t *ret_size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    uint64_t end = (uint64_t)status.st_size;
    bool seen_header = false;
    uint64_t offset = 0;
    while (end - offset >= sizeof(struct frame_disk)) {
        struct frame_disk head;
        int r = read_head(fd, offset, &head);
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
        if (checksum(offset, payload, head.size) != head.crc) {
            /* The first frame may be the only one: with it the whole session would go unsaid. */
            if (next == end && offset > 0)
                break;
            return -EBADMSG;
        }
        r = replay_payload(payload, head.size, &seen_header, visitor, context);
        if (r < 0)
            return r;
        offset = next;
    }
    if (offset == 0)
        return -ENODATA;
    if (!seen_header)
        return -EBADMSG;
    *ret_size = offset;
    return 0;
}
