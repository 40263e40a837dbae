#include "fs/overlay/changelog.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/text.h"
#include "fs/overlay/changelog_format.h"

enum {
    COMPACT_FROM_BYTES = 64 << 10,
    /* This many logs may stay open while their sessions are idle. */
    OPEN_LOGS_MAX = 512,
};

static atomic_int open_logs;

struct changelog {
    pthread_mutex_t mutex; /* innermost; guards what follows */
    int dirfd;
    int fd;    /* -1: at rest */
    bool torn; /* a part of a frame follows `size` */
    uint64_t size;
    uint64_t compact_at;
    uint64_t owner;
    char name[];
};

void changelog_fill_name(char ret_name[LOG_NAME_LENGTH + 1], uint64_t serial)
{
    (void)snprintf(ret_name, LOG_NAME_LENGTH + 1, "%016llx", (unsigned long long)serial);
}

bool changelog_name_is_valid(const char *name)
{
    return strlen(name) == LOG_NAME_LENGTH && strspn(name, "0123456789abcdef") == LOG_NAME_LENGTH;
}

/* The owner of the first frame is in its header record, so its checksums begin with 0. */
static int write_frame(int fd, uint64_t owner, uint64_t offset, const struct frame *frame)
{
    if (frame->failed)
        return -ENOMEM;
    size_t payload = frame->size - sizeof(struct frame_disk);
    if (payload > UINT32_MAX)
        return -EFBIG;
    struct frame_disk head = {
        .magic = offset == 0 ? LOG_MAGIC : FRAME_MAGIC,
        .size = (uint32_t)payload,
        .crc = frame_checksum(owner, offset, frame->data + sizeof(head), payload),
    };
    head.check = frame_checksum(owner, offset, &head, offsetof(struct frame_disk, check));
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

/* Replaces the descriptor; -1: none. */
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

/*
 * Writes the frame to a file beside the log and gives it the log's name by `rename`, so that a file
 * of that name always begins with a whole frame. Recovery removes the file that a killed daemon
 * leaves.
 */
static int write_whole(struct changelog *log, const struct frame *frame,
                       int (*rename)(int from_dirfd, const char *from, int to_dirfd,
                                     const char *to))
{
    AUTO_FREE char *beside = text_format("%s.new", log->name);
    if (!beside)
        return -ENOMEM;
    AUTO_FD int fd = io_openat(log->dirfd, beside, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    int r = write_frame(fd, 0, 0, frame);
    if (r == 0)
        r = rename(log->dirfd, beside, log->dirfd, log->name);
    if (r < 0) {
        (void)unlinkat(log->dirfd, beside, 0);
        return r;
    }
    set_fd(log, steal_fd(&fd));
    set_size(log, frame->size);
    log->owner = frame->owner;
    log->torn = false;
    return 0;
}

int changelog_create(int dirfd, const char *name, const struct frame *first,
                     struct changelog **ret_log)
{
    struct changelog *log = changelog_new(dirfd, name);
    if (!log)
        return -ENOMEM;
    int r = write_whole(log, first, io_renameat_new);
    if (r < 0) {
        changelog_close(log);
        return r;
    }
    *ret_log = log;
    return 0;
}

int changelog_open(int dirfd, const char *name, uint64_t owner, uint64_t size_bytes,
                   struct changelog **ret_log)
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
    log->owner = owner;
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

/* A part of a frame must not remain after a shorter frame that is written over it. */
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
    r = write_frame(log->fd, log->owner, log->size, frame);
    if (r == 0) {
        log->size += frame->size;
        return 0;
    }
    /* If this fails too, it is tried again before the next append. */
    (void)cut_tail(log);
    return r;
}

uint64_t changelog_size(struct changelog *log)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    return log->size;
}

bool changelog_is_long(struct changelog *log)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    return log->size > log->compact_at;
}

int changelog_replace(struct changelog *log, const struct frame *whole)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    int r = write_whole(log, whole, io_renameat);
    /* Try again only when the log has doubled. */
    if (r < 0)
        log->compact_at = log->size * 2;
    return r;
}

void changelog_rest(struct changelog *log)
{
    if (atomic_load(&open_logs) <= OPEN_LOGS_MAX)
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&log->mutex);
    set_fd(log, -1);
}
