#include "fs/client/copy_lease.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zlib.h>

#include "fs/base/clock.h"
#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"

static const char prefix[] = ".lease-";

enum {
    NAME_MAX_LENGTH = sizeof(prefix) + SESSION_ID_MAX,
    TEXT_MAX = 512,
    /* How often at most a sign of life is recorded within session_lease_idle_limit_ns. */
    RENEWALS = 24,
};

/*
 * The content of a lease file. The owner's namespaces are unknown if it was written on another
 * boot.
 */
struct lease_record {
    struct copy_lease lease;
    int64_t seen_ns; /* the last sign of life, CLOCK_REALTIME */
    bool is_of_this_boot;
};

static void fill_name(char name[NAME_MAX_LENGTH + 1], const char *id)
{
    (void)snprintf(name, NAME_MAX_LENGTH + 1, "%s%s", prefix, id);
}

const char *copy_lease_id_of(const char *name)
{
    size_t length = strlen(prefix);
    return !strncmp(name, prefix, length) && session_id_is_valid(name + length) ? name + length
                                                                                : NULL;
}

/* The temporary name that dir_write_file() uses starts with another dot. */
bool copy_lease_is_unfinished(const char *name)
{
    const char *end = strrchr(name, '.');
    return name[0] == '.' && !strncmp(name + 1, prefix, strlen(prefix)) && !strcmp(end, ".tmp");
}

/* ---- the file ---- */

/*
 * The second version of the format is "mintfs-lease-2", then ends_ns, seen_ns, boot ID, PID
 * namespace, time namespace, PID, start, lock ("-": none), and a CRC-32 of eight zero bytes and all
 * of that text. The first version was "ends_ns pid start", without the namespace of its PID.
 */
static const char magic[] = "mintfs-lease-2 ";

static uint32_t line_checksum(const char *text, size_t size)
{
    static const Bytef zeros[8];
    return (uint32_t)crc32_z(crc32_z(0, zeros, sizeof(zeros)), (const Bytef *)text, size);
}

static int write_record(int key_fd, const char *id, const struct lease_record *record)
{
    char name[NAME_MAX_LENGTH + 1];
    char boot_id[BOOT_ID_SIZE + 1];
    char text[TEXT_MAX];
    const struct session_lease *lease = &record->lease.session;
    int r = boot_read_id(boot_id);
    if (r < 0)
        return r;
    int length =
        snprintf(text, sizeof(text),
                 "%s%" PRId64 " %" PRId64 " %s %" PRIu64 " %" PRIu64 " %" PRId32 " %" PRIu64 " %s ",
                 magic, lease->ends_ns, record->seen_ns, boot_id, lease->owner.pid_namespace,
                 lease->owner.time_namespace, lease->owner.pid, lease->owner.start,
                 record->lease.owner_lock[0] ? record->lease.owner_lock : "-");
    length += snprintf(text + length, sizeof(text) - (size_t)length, "%08" PRIx32 "\n",
                       line_checksum(text, (size_t)length));
    fill_name(name, id);
    return dir_write_file(key_fd, name, text, (size_t)length, 0600);
}

static bool parse_second(const char *text, struct lease_record *ret_record)
{
    char boot_id[BOOT_ID_SIZE + 1];
    char boot_id_now[BOOT_ID_SIZE + 1];
    struct session_lease *lease = &ret_record->lease.session;
    const char *last = strrchr(text, ' ');
    uint32_t sum;
    if (sscanf(text + strlen(magic),
               "%" SCNd64 " %" SCNd64 " %36s %" SCNu64 " %" SCNu64 " %" SCNd32 " %" SCNu64
               " %128s %8" SCNx32,
               &lease->ends_ns, &ret_record->seen_ns, boot_id, &lease->owner.pid_namespace,
               &lease->owner.time_namespace, &lease->owner.pid, &lease->owner.start,
               ret_record->lease.owner_lock, &sum) != 9 ||
        sum != line_checksum(text, (size_t)(last + 1 - text)))
        return false;
    if (!strcmp(ret_record->lease.owner_lock, "-"))
        ret_record->lease.owner_lock[0] = '\0';
    else if (!session_id_is_valid(ret_record->lease.owner_lock))
        return false;
    ret_record->is_of_this_boot = boot_read_id(boot_id_now) == 0 && !strcmp(boot_id, boot_id_now);
    if (!ret_record->is_of_this_boot)
        lease->owner.pid_namespace = 0;
    return true;
}

static bool parse_first(const char *text, int64_t modified_ns, struct lease_record *ret_record)
{
    struct session_lease *lease = &ret_record->lease.session;
    ret_record->seen_ns = modified_ns;
    return sscanf(text, "%" SCNd64 " %" SCNd32 " %" SCNu64, &lease->ends_ns, &lease->owner.pid,
                  &lease->owner.start) == 3;
}

static bool read_record(int key_fd, const char *id, struct lease_record *ret_record)
{
    char name[NAME_MAX_LENGTH + 1];
    struct stat status;
    AUTO_FREE char *text = NULL;
    fill_name(name, id);
    *ret_record = (struct lease_record){.seen_ns = 0};
    if (fstatat(key_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        dir_read_file(key_fd, name, TEXT_MAX, &text, NULL) < 0)
        return false;
    if (!strncmp(text, magic, strlen(magic)))
        return parse_second(text, ret_record);
    return parse_first(text, (int64_t)status.st_mtim.tv_sec * NS_PER_S, ret_record);
}

/* ---- owners' locks ---- */

static int make_lock(int root_fd, const char *name)
{
    AUTO_FD int owners = dir_ensure(root_fd, COPY_OWNERS, 0700);
    if (owners < 0)
        return owners;
    AUTO_FD int fd = io_openat(owners, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    return fd < 0 ? fd : 0;
}

enum lock_state {
    LOCK_UNKNOWN, /* it does not exist, or its owner has not taken it yet */
    LOCK_FREE,
    LOCK_HELD,
};

/*
 * Tries a shared lock, so that two processes that look at the same time do not seem to be owners.
 */
static enum lock_state look_at_lock(int owners_fd, const char *name)
{
    struct stat status;
    AUTO_FD int fd = io_openat(owners_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size == 0)
        return LOCK_UNKNOWN;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return LOCK_FREE;
    return errno == EWOULDBLOCK ? LOCK_HELD : LOCK_UNKNOWN;
}

static enum lock_state lock_of(int root_fd, const struct lease_record *record)
{
    if (!record->lease.owner_lock[0] || !record->is_of_this_boot)
        return LOCK_UNKNOWN;
    AUTO_FD int owners = io_openat(root_fd, COPY_OWNERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return owners < 0 ? LOCK_UNKNOWN : look_at_lock(owners, record->lease.owner_lock);
}

int copy_owner_lock_path(const char *path, const char *owner_lock, char **ret_path)
{
    const char *key = memrchr(path, '/', (size_t)(strrchr(path, '/') - path));
    *ret_path = text_format("%.*s/" COPY_OWNERS "/%s", (int)(key - path), path, owner_lock);
    return *ret_path ? 0 : -ENOMEM;
}

static bool is_old_file(int dirfd, const char *name)
{
    struct stat status;
    return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           clock_real_ns() - (int64_t)status.st_mtim.tv_sec * NS_PER_S >
               session_lease_idle_limit_ns;
}

static int sweep_owner(int dirfd, const char *name, unsigned char type UNUSED, void *context UNUSED)
{
    enum lock_state state = session_id_is_valid(name) ? look_at_lock(dirfd, name) : LOCK_HELD;
    if (state == LOCK_FREE || (state == LOCK_UNKNOWN && is_old_file(dirfd, name))) {
        int r = io_unlinkat(dirfd, name, 0);
        return r == -ENOENT ? 0 : r;
    }
    return 0;
}

void copy_owners_sweep(int root_fd)
{
    AUTO_FD int owners = io_openat(root_fd, COPY_OWNERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (owners < 0)
        return;
    int r = dir_each(owners, sweep_owner, NULL);
    if (r == 0)
        r = io_unlinkat(root_fd, COPY_OWNERS, AT_REMOVEDIR);
    if (r < 0 && r != -ENOTEMPTY && r != -EEXIST && r != -ENOENT)
        log_warning("cannot remove the locks of copies' owners: %s", strerror(-r));
}

/* ---- leases ---- */

int copy_lease_write(int root_fd, int key_fd, const char *id, const struct copy_lease *lease)
{
    char name[NAME_MAX_LENGTH + 1];
    if (!lease) {
        fill_name(name, id);
        int r = io_unlinkat(key_fd, name, 0);
        return r == -ENOENT ? 0 : r;
    }
    struct lease_record record = {.lease = *lease, .seen_ns = clock_real_ns()};
    int r = lease->owner_lock[0] ? make_lock(root_fd, lease->owner_lock) : 0;
    return r < 0 ? r : write_record(key_fd, id, &record);
}

static bool is_worth_renewing(const struct lease_record *record)
{
    return clock_real_ns() - record->seen_ns > session_lease_idle_limit_ns / RENEWALS;
}

int copy_lease_renew(int key_fd, const char *id)
{
    struct lease_record record;
    /* A lease of another boot or an earlier version names no owner that can be recognised here. */
    if (!read_record(key_fd, id, &record) || !record.is_of_this_boot || !is_worth_renewing(&record))
        return 0;
    record.seen_ns = clock_real_ns();
    return write_record(key_fd, id, &record);
}

/* No time is set, and the last sign of life is long ago. */
static bool is_forgotten(const struct lease_record *record)
{
    return !record->lease.session.ends_ns &&
           clock_real_ns() - record->seen_ns > session_lease_idle_limit_ns;
}

enum copy_state copy_lease_judge(int root_fd, int key_fd, const char *id)
{
    struct lease_record record;
    if (!read_record(key_fd, id, &record))
        return COPY_STAYS;
    const struct session_lease *lease = &record.lease.session;
    if (session_lease_time_left_ns(lease) <= 0)
        return COPY_IS_OVER;
    if (!lease->owner.pid)
        return COPY_STAYS;
    enum process_state state = process_look(&lease->owner);
    if (state == PROCESS_UNSEEN) {
        enum lock_state lock = lock_of(root_fd, &record);
        if (lock == LOCK_UNKNOWN)
            return is_forgotten(&record) ? COPY_IS_OVER : COPY_STAYS;
        state = lock == LOCK_HELD ? PROCESS_LIVES : PROCESS_GONE;
    }
    if (state == PROCESS_GONE)
        return COPY_IS_OVER;
    return is_worth_renewing(&record) ? COPY_SHOWS_LIFE : COPY_STAYS;
}
