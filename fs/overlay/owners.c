#include "fs/overlay/owners.h"

/* Compiled in: XXH3 is then specialised for the size of a block, and no library is loaded. */
#define XXH_INLINE_ALL

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

#include "fs/base/io.h"
#include "fs/base/log.h"

#define HEADER_MAGIC ((uint32_t)0x316f666d)      /* "mfo1" */
#define HEADER_MAGIC_KIND ((uint32_t)0x006f666d) /* any version of it */

struct owner_disk {
    uint64_t owner; /* 0: none */
    uint32_t node;
    uint32_t at;
    uint32_t sums[2]; /* the bytes have one of these checksums; 0: not known */
};

enum {
    OWNER_SIZE_BYTES = sizeof(struct owner_disk),
    ENTRIES_AT_ONCE = 64,
};

struct header_disk {
    uint32_t magic;
    uint32_t check; /* CRC-32 of the magic */
    uint32_t zero[4];
};
_Static_assert(sizeof(struct header_disk) == OWNER_SIZE_BYTES, "block N's entry is the N+1st");

struct owners {
    int fd;
    pthread_mutex_t mutex; /* innermost; guards what follows */
    uint32_t *sums;        /* of the blocks' current bytes; 0: not known, the file has two */
    size_t room;
};

/* ---- checksums ---- */

uint32_t owners_sum(const void *bytes)
{
    uint32_t sum = (uint32_t)XXH3_64bits(bytes, BLOCK_SIZE_BYTES);
    return sum ? sum : 1;
}

/* ---- the file ---- */

static off_t offset_of(block_t block)
{
    return ((off_t)block + 1) * OWNER_SIZE_BYTES;
}

/* Past the end of the file entries are zeros. */
static int read_entries(const struct owners *owners, block_t first, uint32_t count,
                        struct owner_disk *ret_entries)
{
    size_t size = (size_t)count * OWNER_SIZE_BYTES;
    ssize_t n = io_pread(owners->fd, ret_entries, size, offset_of(first));
    if (n < 0)
        return (int)n;
    memset((char *)ret_entries + n, 0, size - (size_t)n);
    return 0;
}

static int write_entries(const struct owners *owners, block_t first, uint32_t count,
                         const struct owner_disk *entries)
{
    return io_pwrite(owners->fd, entries, (size_t)count * OWNER_SIZE_BYTES, offset_of(first));
}

static int write_header(int fd)
{
    struct header_disk header = {.magic = HEADER_MAGIC};
    header.check = (uint32_t)crc32(0, (const void *)&header.magic, sizeof(header.magic));
    return io_pwrite(fd, &header, sizeof(header), 0);
}

static int check_header(int fd)
{
    struct header_disk header = {0};
    ssize_t n = io_pread(fd, &header, sizeof(header), 0);
    if (n < 0)
        return (int)n;
    bool is_whole =
        header.check == (uint32_t)crc32(0, (const void *)&header.magic, sizeof(header.magic));
    if (n > 0 && is_whole && header.magic == HEADER_MAGIC)
        return 0;
    if (n > 0 && is_whole && (header.magic & 0x00ffffff) == HEADER_MAGIC_KIND)
        return -EPROTONOSUPPORT;
    if (n > 0)
        log_warning("the table of the scratch's blocks has lost its header, and gets a new one");
    return write_header(fd);
}

int owners_open(int fd, struct owners **ret_owners)
{
    int r = check_header(fd);
    if (r < 0)
        return r;
    struct owners *owners = calloc(1, sizeof(*owners));
    if (!owners)
        return -ENOMEM;
    owners->fd = fd;
    pthread_mutex_init(&owners->mutex, NULL);
    *ret_owners = owners;
    return 0;
}

void owners_free(struct owners *owners)
{
    if (!owners)
        return;
    (void)close(owners->fd);
    pthread_mutex_destroy(&owners->mutex);
    free(owners->sums);
    free(owners);
}

int owners_clear(struct owners *owners)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&owners->mutex);
    free(owners->sums);
    owners->sums = NULL;
    owners->room = 0;
    return io_ftruncate(owners->fd, OWNER_SIZE_BYTES);
}

/* ---- checksums in memory ---- */

static void recall_sums(struct owners *owners, block_t first, uint32_t count, uint32_t *ret_sums)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&owners->mutex);
    for (size_t i = 0; i < count; i++)
        ret_sums[i] = first + i < owners->room ? owners->sums[first + i] : 0;
}

/* If memory is short the checksums stay unknown here; the file has them. Mutex held. */
static bool grow_held(struct owners *owners, size_t needed)
{
    size_t room = owners->room ? owners->room : 1024;
    while (room < needed)
        room *= 2;
    if (room == owners->room)
        return true;
    uint32_t *grown = realloc(owners->sums, room * sizeof(*grown));
    if (!grown)
        return false;
    memset(grown + owners->room, 0, (room - owners->room) * sizeof(*grown));
    owners->sums = grown;
    owners->room = room;
    return true;
}

void owners_learn(struct owners *owners, block_t first, uint32_t count, const uint32_t *sums)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&owners->mutex);
    if (sums && !grow_held(owners, (size_t)first + count))
        sums = NULL;
    for (size_t i = 0; i < count && first + i < owners->room; i++)
        owners->sums[first + i] = sums ? sums[i] : 0;
}

static bool agrees(const struct owner_disk *entry, uint32_t sum)
{
    return entry->sums[0] == 0 || entry->sums[1] == 0 || entry->sums[0] == sum ||
           entry->sums[1] == sum;
}

int owners_check(struct owners *owners, block_t block, const void *bytes)
{
    uint32_t sum = owners_sum(bytes);
    uint32_t known;
    recall_sums(owners, block, 1, &known);
    if (known)
        return known == sum ? 0 : -EBADMSG;
    struct owner_disk entry;
    int r = read_entries(owners, block, 1, &entry);
    if (r < 0)
        return r;
    if (!agrees(&entry, sum))
        return -EBADMSG;
    owners_learn(owners, block, 1, &sum);
    return 0;
}

/* ---- writing ---- */

static void fill_entry(struct owner_disk *entry, const struct block_tag *tag, uint32_t distance,
                       uint32_t old_sum, uint32_t new_sum)
{
    *entry = (struct owner_disk){
        .owner = tag->owner,
        .node = tag->node,
        .at = tag->at + distance,
        .sums = {old_sum, new_sum},
    };
}

int owners_note_fresh(struct owners *owners, block_t first, uint32_t count,
                      const struct block_tag *tag, const void *bytes)
{
    for (uint32_t done = 0; done < count;) {
        struct owner_disk entries[ENTRIES_AT_ONCE];
        uint32_t sums[ENTRIES_AT_ONCE];
        uint32_t part = count - done < ENTRIES_AT_ONCE ? count - done : ENTRIES_AT_ONCE;
        for (uint32_t i = 0; i < part; i++) {
            sums[i] = owners_sum((const char *)bytes + (size_t)(done + i) * BLOCK_SIZE_BYTES);
            fill_entry(&entries[i], tag, done + i, sums[i], sums[i]);
        }
        int r = write_entries(owners, first + done, part, entries);
        if (r < 0)
            return r;
        owners_learn(owners, first + done, part, sums);
        done += part;
    }
    return 0;
}

/* The checksum of the block's current bytes; if the block is damaged, that of its new bytes. */
static int find_sum(const struct owners *owners, block_t block, int storage_fd, uint32_t new_sum,
                    uint32_t *ret_sum)
{
    char bytes[BLOCK_SIZE_BYTES];
    struct owner_disk entry;
    int r = read_entries(owners, block, 1, &entry);
    if (r == 0)
        r = io_pread_exact(storage_fd, bytes, sizeof(bytes), (off_t)block * BLOCK_SIZE_BYTES);
    if (r < 0)
        return r;
    uint32_t sum = owners_sum(bytes);
    *ret_sum = agrees(&entry, sum) ? sum : new_sum;
    return 0;
}

int owners_note_change(struct owners *owners, block_t first, uint32_t count,
                       const struct block_tag *tag, const uint32_t *sums, int storage_fd)
{
    for (uint32_t done = 0; done < count;) {
        struct owner_disk entries[ENTRIES_AT_ONCE];
        uint32_t part = count - done < ENTRIES_AT_ONCE ? count - done : ENTRIES_AT_ONCE;
        uint32_t old_sums[ENTRIES_AT_ONCE];
        recall_sums(owners, first + done, part, old_sums);
        for (uint32_t i = 0; i < part; i++) {
            int r = old_sums[i] ? 0
                                : find_sum(owners, first + done + i, storage_fd, sums[done + i],
                                           &old_sums[i]);
            if (r < 0)
                return r;
            fill_entry(&entries[i], tag, done + i, old_sums[i], sums[done + i]);
        }
        int r = write_entries(owners, first + done, part, entries);
        if (r < 0)
            return r;
        done += part;
    }
    return 0;
}

/* ---- recovery ---- */

static bool has_tag(const struct owner_disk *entry, const struct block_tag *tag, uint32_t distance)
{
    return entry->owner == tag->owner && entry->node == tag->node &&
           entry->at == tag->at + distance;
}

int owners_confirm(struct owners *owners, block_t first, uint32_t count,
                   const struct block_tag *tag)
{
    for (uint32_t done = 0; done < count;) {
        struct owner_disk entries[ENTRIES_AT_ONCE];
        uint32_t part = count - done < ENTRIES_AT_ONCE ? count - done : ENTRIES_AT_ONCE;
        int r = read_entries(owners, first + done, part, entries);
        if (r < 0)
            return r;
        for (uint32_t i = 0; i < part; i++)
            if (!has_tag(&entries[i], tag, done + i))
                return -EBADMSG;
        done += part;
    }
    return 0;
}

int owners_adopt(struct owners *owners, block_t first, uint32_t count, const struct block_tag *tag,
                 uint64_t *ret_rival)
{
    for (uint32_t done = 0; done < count;) {
        struct owner_disk entries[ENTRIES_AT_ONCE];
        uint32_t part = count - done < ENTRIES_AT_ONCE ? count - done : ENTRIES_AT_ONCE;
        int r = read_entries(owners, first + done, part, entries);
        if (r < 0)
            return r;
        for (uint32_t i = 0; i < part; i++) {
            if (has_tag(&entries[i], tag, done + i))
                continue;
            if (entries[i].owner) {
                *ret_rival = entries[i].owner;
                return -EBADMSG;
            }
            fill_entry(&entries[i], tag, done + i, 0, 0);
        }
        r = write_entries(owners, first + done, part, entries);
        if (r < 0)
            return r;
        done += part;
    }
    return 0;
}
