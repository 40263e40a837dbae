#include "fs/store/sqlite_recovery.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/bytes.h"
#include "fs/base/io.h"
#include "fs/base/text.h"

enum {
    LOCK_BYTE = 0x40000000, /* no journal contains the page at this offset */

    WAL_HEADER = 32,
    FRAME_HEADER = 24,
    WAL_VERSION = 3007000,
    WAL_MAGIC = 0x377f0682, /* with 1 added: checksums of big-endian words */

    JOURNAL_HEADER = 28,
    SECTOR_MAX = 65536,
    CHECKSUM_STEP = 200,
};

static const uint8_t journal_magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

/* A journal or a log, and the record of it that was read last. */
struct side {
    int fd;
    off_t size;
    uint8_t *record;
};

static bool is_page_size(uint32_t size)
{
    return size >= SQLITE_PAGE_SIZE_MIN && size <= SQLITE_PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

/* The result of reading the journal and the log. */
struct recovery {
    char *damage; /* why they cannot be applied, or NULL */
    bool rolls_back_to_empty;
    bool has_header;
    uint8_t header[SQLITE_FILE_HEADER_BYTES]; /* of the file afterwards */
};

static void recovery_fini(struct recovery *recovery)
{
    free(recovery->damage);
}

/* 1: open; 0: missing or empty. */
static int open_side(int dirfd, const char *path, const char *suffix, struct side *ret_side)
{
    AUTO_FREE char *name = text_format("%s%s", path, suffix);
    struct stat status;
    if (!name)
        return -ENOMEM;
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    /* A file cannot have a name that is too long; the caller refuses symbolic links. */
    if (fd == -ENOENT || fd == -ENAMETOOLONG || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    /* The caller refuses directories too. */
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return 0;
    uint8_t *record = malloc(FRAME_HEADER + SQLITE_PAGE_SIZE_MAX);
    if (!record)
        return -ENOMEM;
    *ret_side = (struct side){.fd = steal_fd(&fd), .size = status.st_size, .record = record};
    return 1;
}

static void close_side(struct side *side)
{
    auto_close_fd(&side->fd);
    free(side->record);
}
#define AUTO_SIDE CLEANUP(close_side)

static int set_damage(struct recovery *recovery, const char *text)
{
    recovery->damage = strdup(text);
    return recovery->damage ? 0 : -ENOMEM;
}

/* ---- the write-ahead log ---- */

struct wal {
    const struct side *side;
    bool is_big_endian;
    uint32_t page_size;
    uint8_t salt[8];
    uint32_t sum[2];
    bool has_first; /* the first page, in a transaction that may not be committed */
    uint8_t first[SQLITE_FILE_HEADER_BYTES];
};

static void add_to_sum(struct wal *wal, const uint8_t *bytes, size_t size)
{
    uint32_t a = wal->sum[0];
    uint32_t b = wal->sum[1];
    for (size_t i = 0; i < size; i += 8) {
        const uint8_t *word = bytes + i;
        a += (wal->is_big_endian ? bytes_get_be32(word) : bytes_get_le32(word)) + b;
        b += (wal->is_big_endian ? bytes_get_be32(word + 4) : bytes_get_le32(word + 4)) + a;
    }
    wal->sum[0] = a;
    wal->sum[1] = b;
}

static bool sum_is(const struct wal *wal, const uint8_t *stored)
{
    return wal->sum[0] == bytes_get_be32(stored) && wal->sum[1] == bytes_get_be32(stored + 4);
}

/* 1: frames may follow; 0: there are none, or recovery->damage is set. */
static int read_wal_header(struct wal *wal, struct recovery *recovery)
{
    static const uint8_t zeros[WAL_HEADER];
    uint8_t header[WAL_HEADER];
    if (wal->side->size < WAL_HEADER)
        return 0;
    int r = io_pread_exact(wal->side->fd, header, sizeof(header), 0);
    if (r < 0)
        return r;
    if (!memcmp(header, zeros, sizeof(zeros)))
        return 0;
    uint32_t magic = bytes_get_be32(header);
    wal->is_big_endian = magic & 1;
    wal->page_size = bytes_get_be32(header + 8);
    memcpy(wal->salt, header + 16, sizeof(wal->salt));
    add_to_sum(wal, header, 24);
    if ((magic & ~1U) != WAL_MAGIC || !is_page_size(wal->page_size) || !sum_is(wal, header + 24))
        return set_damage(recovery, "the header of its write-ahead log is damaged");
    if (bytes_get_be32(header + 4) != WAL_VERSION)
        return set_damage(recovery, "its write-ahead log is of another version");
    return 1;
}

/* Reads a frame. *ret_is_of_log: it was written since the log was last restarted. */
static int read_frame(struct wal *wal, off_t offset, bool *ret_is_of_log, bool *ret_is_commit)
{
    int r = io_pread_exact(wal->side->fd, wal->side->record, FRAME_HEADER + wal->page_size, offset);
    *ret_is_of_log = r == 0 && !memcmp(wal->side->record + 8, wal->salt, sizeof(wal->salt));
    *ret_is_commit = r == 0 && bytes_get_be32(wal->side->record + 4) != 0;
    return r;
}

/* Records the first page as the last commit leaves it. */
static void take_frame(struct wal *wal, bool is_commit, struct recovery *recovery)
{
    if (bytes_get_be32(wal->side->record) == 1) {
        memcpy(wal->first, wal->side->record + FRAME_HEADER, sizeof(wal->first));
        wal->has_first = true;
    }
    if (is_commit && wal->has_first) {
        memcpy(recovery->header, wal->first, sizeof(wal->first));
        recovery->has_header = true;
    }
}

static int check_frames(struct wal *wal, struct recovery *recovery)
{
    const off_t frame_size = FRAME_HEADER + (off_t)wal->page_size;
    bool is_valid = true;
    for (off_t at = WAL_HEADER; at + frame_size <= wal->side->size; at += frame_size) {
        bool is_of_log;
        bool is_commit;
        int r = read_frame(wal, at, &is_of_log, &is_commit);
        if (r < 0)
            return r;
        if (is_valid) {
            add_to_sum(wal, wal->side->record, 8);
            add_to_sum(wal, wal->side->record + FRAME_HEADER, wal->page_size);
            is_valid = is_of_log && bytes_get_be32(wal->side->record) != 0 &&
                       sum_is(wal, wal->side->record + 16);
        }
        if (is_valid)
            take_frame(wal, is_commit, recovery);
        else if (is_of_log && is_commit)
            return set_damage(recovery, "its write-ahead log is damaged before its last commit");
    }
    return 0;
}

static int check_wal(int dirfd, const char *path, struct recovery *recovery)
{
    AUTO_SIDE struct side side = {.fd = -1};
    struct wal wal = {.side = &side};
    int r = open_side(dirfd, path, SQLITE_WAL_SUFFIX, &side);
    if (r == 1)
        r = read_wal_header(&wal, recovery);
    return r == 1 ? check_frames(&wal, recovery) : r;
}

/* ---- the rollback journal ---- */

struct journal {
    const struct side *side;
    uint32_t records; /* of the segment; UINT32_MAX: to the end of the file */
    uint32_t seed;
    uint32_t page_count; /* of the file before the transaction */
    uint32_t sector_size;
    uint32_t page_size;
};

/* 1: a segment begins at the offset; 0: none does. */
static int read_segment(struct journal *journal, off_t offset)
{
    uint8_t header[JOURNAL_HEADER];
    if (offset + JOURNAL_HEADER > journal->side->size)
        return 0;
    int r = io_pread_exact(journal->side->fd, header, sizeof(header), offset);
    if (r < 0)
        return r;
    if (memcmp(header, journal_magic, sizeof(journal_magic)) != 0)
        return 0;
    journal->records = bytes_get_be32(header + 8);
    journal->seed = bytes_get_be32(header + 12);
    if (offset == 0) {
        journal->page_count = bytes_get_be32(header + 16);
        journal->sector_size = bytes_get_be32(header + 20);
        journal->page_size = bytes_get_be32(header + 24);
    }
    return 1;
}

/* 1: a valid record; 0: a damaged one; 2: the end of the records. */
static int read_record(struct journal *journal, off_t offset)
{
    const uint32_t page_size = journal->page_size;
    uint8_t *record = journal->side->record;
    int r = io_pread_exact(journal->side->fd, record, page_size + 8, offset);
    if (r < 0)
        return r;
    uint32_t page = bytes_get_be32(record);
    uint32_t sum = journal->seed;
    if (page == LOCK_BYTE / page_size + 1)
        return 2;
    for (uint32_t i = page_size - CHECKSUM_STEP; i < page_size && i > 0; i -= CHECKSUM_STEP)
        sum += record[4 + i];
    return page != 0 && sum == bytes_get_be32(record + 4 + page_size);
}

/* Moves *offset past the segment. */
static int check_segment(struct journal *journal, off_t *offset, struct recovery *recovery)
{
    const off_t record_size = journal->page_size + 8;
    const bool is_counted = journal->records != UINT32_MAX;
    off_t at = *offset + journal->sector_size;
    off_t fit = at < journal->side->size ? (journal->side->size - at) / record_size : 0;
    off_t count = is_counted ? journal->records : fit;
    if (count > fit)
        return set_damage(recovery, "its journal is cut off");
    for (off_t i = 0; i < count; i++, at += record_size) {
        int r = read_record(journal, at);
        if (r < 0)
            return r;
        if (r == 2)
            break;
        /* The last record of a journal that was not synced may be incomplete. */
        if (r == 0 && (is_counted || i + 1 < count))
            return set_damage(recovery, "its journal is damaged");
        if (r == 1 && bytes_get_be32(journal->side->record) == 1 && !recovery->has_header) {
            memcpy(recovery->header, journal->side->record + 4, sizeof(recovery->header));
            recovery->has_header = true;
        }
    }
    off_t sector = journal->sector_size;
    *offset = (at + sector - 1) / sector * sector;
    return 0;
}

static int check_journal(int dirfd, const char *path, struct recovery *recovery)
{
    AUTO_SIDE struct side side = {.fd = -1};
    struct journal journal = {.side = &side};
    uint8_t first = 0;
    int r = open_side(dirfd, path, SQLITE_JOURNAL_SUFFIX, &side);
    if (r == 1)
        r = io_pread_exact(side.fd, &first, 1, 0);
    /* In PERSIST mode a finished transaction overwrites the start with zeros. */
    if (r < 0 || first == 0)
        return r;
    r = read_segment(&journal, 0);
    uint32_t sector = journal.sector_size;
    if (r == 0 || (r == 1 && (!is_page_size(journal.page_size) || sector < 32 ||
                              sector > SECTOR_MAX || (sector & (sector - 1)))))
        return set_damage(recovery, "the header of its journal is damaged");
    recovery->rolls_back_to_empty = r == 1 && journal.page_count == 0;
    for (off_t offset = 0; r == 1 && !recovery->damage;) {
        r = check_segment(&journal, &offset, recovery);
        if (r == 0 && !recovery->damage)
            r = read_segment(&journal, offset);
    }
    return r < 0 ? r : 0;
}

/* ---- both ---- */

static int examine(int dirfd, const char *path, struct recovery *recovery)
{
    int r = check_journal(dirfd, path, recovery);
    return r == 0 && !recovery->damage ? check_wal(dirfd, path, recovery) : r;
}

int sqlite_recovery_check(int dirfd, const char *path, char **ret_damage)
{
    CLEANUP(recovery_fini) struct recovery recovery = {.damage = NULL};
    int r = examine(dirfd, path, &recovery);
    if (r == 0)
        *ret_damage = steal_pointer(&recovery.damage);
    return r;
}

int sqlite_recovery_predict(int dirfd, const char *path, enum sqlite_recovery *ret_result,
                            unsigned char header[SQLITE_FILE_HEADER_BYTES])
{
    CLEANUP(recovery_fini) struct recovery recovery = {.damage = NULL};
    int r = examine(dirfd, path, &recovery);
    if (r < 0)
        return r;
    *ret_result = recovery.rolls_back_to_empty ? SQLITE_RECOVERY_EMPTIES
                  : recovery.has_header        ? SQLITE_RECOVERY_BEGINS
                                               : SQLITE_RECOVERY_NONE;
    memcpy(header, recovery.header, sizeof(recovery.header));
    return 0;
}
