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

static const char prefix[] = ".lease-";

enum {
    NAME_MAX_LENGTH = sizeof(prefix) + SESSION_ID_MAX,
    TEXT_MAX = 512,
    /* How old a sign of life may become before the next is written down: a part of the limit. */
    RENEWALS = 24,
};

/* What the file says. The owner's namespaces are unknown where it was written on another boot. */
struct told {
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

/* dir_name_beside() puts a dot before the name. */
bool copy_lease_is_half(const char *name)
{
    const char *end = strrchr(name, '.');
    return name[0] == '.' && !strncmp(name + 1, prefix, strlen(prefix)) && !strcmp(end, ".tmp");
}

/* ---- the file ---- */

/*
 * The second version is "mintfs-lease-2", then ends_ns, seen_ns, boot ID, PID namespace, time
 * namespace, PID, start, lock ("-": none), and a CRC-32 of eight zero bytes and all that. The first was "ends_ns pid
 * start": the namespace of its PID is not known.
 */
static const char magic[] = "mintfs-lease-2 ";

static uint32_t line_checksum(const char *text, size_t size)
{
    static const Bytef zeros[8];
    return (uint32_t)crc32_z(crc32_z(0, zeros, sizeof(zeros)), (const Bytef *)text, size);
}

static int write_told(int key_fd, const char *id, const struct told *told)
{
    char name[NAME_MAX_LENGTH + 1];
    char boot_id[BOOT_ID_SIZE + 1];
    char text[TEXT_MAX];
    const struct session_lease *lease = &told->lease.session;
    int r = boot_read_id(boot_id);
    if (r < 0)
        return r;
    int length =
        snprintf(text, sizeof(text),
                 "%s%" PRId64 " %" PRId64 " %s %" PRIu64 " %" PRIu64 " %" PRId32 " %" PRIu64 " %s ",
                 magic, lease->ends_ns, told->seen_ns, boot_id, lease->owner.pid_namespace,
                 lease->owner.time_namespace, lease->owner.pid, lease->owner.start,
                 told->lease.owner_lock[0] ? told->lease.owner_lock : "-");
    length += snprintf(text + length, sizeof(text) - (size_t)length, "%08" PRIx32 "\n",
                       line_checksum(text, (size_t)length));
    fill_name(name, id);
    return dir_write_file(key_fd, name, text, (size_t)length, 0600);
}

static bool parse_second(const char *text, struct told *ret_told)
{
    char boot_id[BOOT_ID_SIZE + 1];
    char boot_id_now[BOOT_ID_SIZE + 1];
    struct session_lease *lease = &ret_told->lease.session;
    const char *last = strrchr(text, ' ');
    uint32_t sum;
    if (sscanf(text + strlen(magic),
               "%" SCNd64 " %" SCNd64 " %36s %" SCNu64 " %" SCNu64 " %" SCNd32 " %" SCNu64
               " %128s %8" SCNx32,
               &lease->ends_ns, &ret_told->seen_ns, boot_id, &lease->owner.pid_namespace,
               &lease->owner.time_namespace, &lease->owner.pid, &lease->owner.start,
               ret_told->lease.owner_lock, &sum) != 9 ||
        sum != line_checksum(text, (size_t)(last + 1 - text)))
        return false;
    if (!strcmp(ret_told->lease.owner_lock, "-"))
        ret_told->lease.owner_lock[0] = '\0';
    else if (!session_id_is_valid(ret_told->lease.owner_lock))
        return false;
    ret_told->is_of_this_boot = boot_read_id(boot_id_now) == 0 && !strcmp(boot_id, boot_id_now);
    if (!ret_told->is_of_this_boot)
        lease->owner.pid_namespace = 0;
    return true;
}

static bool parse_first(const char *text, int64_t modified_ns, struct told *ret_told)
{
    struct session_lease *lease = &ret_told->lease.session;
    ret_told->seen_ns = modified_ns;
    return sscanf(text, "%" SCNd64 " %" SCNd32 " %" SCNu64, &lease->ends_ns, &lease->owner.pid,
                  &lease->owner.start) == 3;
}

static bool read_told(int key_fd, const char *id, struct told *ret_told)
{
    char name[NAME_MAX_LENGTH + 1];
    struct stat status;
    AUTO_FREE char *text = NULL;
    fill_name(name, id);
    *ret_told = (struct told){.seen_ns = 0};
    if (fstatat(key_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        dir_read_file(key_fd, name, TEXT_MAX, &text, NULL) < 0)
        return false;
    if (!strncmp(text, magic, strlen(magic)))
        return parse_second(text, ret_told);
    return parse_first(text, (int64_t)status.st_mtim.tv_sec * 1000000000, ret_told);
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
    LOCK_UNKNOWN, /* there is none, or its owner has not taken it yet */
    LOCK_FREE,
    LOCK_HELD,
};

/* Shared, so that two who look at the same time do not take one another for the owner. */
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

static enum lock_state lock_of(int root_fd, const struct told *told)
{
    if (!told->lease.owner_lock[0] || !told->is_of_this_boot)
        return LOCK_UNKNOWN;
    AUTO_FD int owners = io_openat(root_fd, COPY_OWNERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return owners < 0 ? LOCK_UNKNOWN : look_at_lock(owners, told->lease.owner_lock);
}

static bool is_old_file(int dirfd, const char *name)
{
    struct stat status;
    return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           clock_real_ns() - (int64_t)status.st_mtim.tv_sec * 1000000000 >
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
        log_warning("cannot remove locks of copies' owners: %s", strerror(-r));
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
    struct told told = {.lease = *lease, .seen_ns = clock_real_ns()};
    int r = lease->owner_lock[0] ? make_lock(root_fd, lease->owner_lock) : 0;
    return r < 0 ? r : write_told(key_fd, id, &told);
}

static bool is_worth_renewing(const struct told *told)
{
    return clock_real_ns() - told->seen_ns > session_lease_idle_limit_ns / RENEWALS;
}

int copy_lease_renew(int key_fd, const char *id)
{
    struct told told;
    /* Another boot's, or an earlier version's, stays as it is: nobody here can tell who owns it. */
    if (!read_told(key_fd, id, &told) || !told.is_of_this_boot || !is_worth_renewing(&told))
        return 0;
    told.seen_ns = clock_real_ns();
    return write_told(key_fd, id, &told);
}

/* Nobody set a time, and for long there was no sign of life. */
static bool is_forgotten(const struct told *told)
{
    return !told->lease.session.ends_ns &&
           clock_real_ns() - told->seen_ns > session_lease_idle_limit_ns;
}

enum copy_state copy_lease_judge(int root_fd, int key_fd, const char *id)
{
    struct told told;
    if (!read_told(key_fd, id, &told))
        return COPY_STAYS;
    const struct session_lease *lease = &told.lease.session;
    if (session_lease_time_left_ns(lease) <= 0)
        return COPY_IS_OVER;
    if (!lease->owner.pid)
        return COPY_STAYS;
    enum process_state state = process_look(&lease->owner);
    if (state == PROCESS_UNSEEN) {
        enum lock_state lock = lock_of(root_fd, &told);
        if (lock == LOCK_UNKNOWN)
            return is_forgotten(&told) ? COPY_IS_OVER : COPY_STAYS;
        state = lock == LOCK_HELD ? PROCESS_LIVES : PROCESS_GONE;
    }
    if (state == PROCESS_GONE)
        return COPY_IS_OVER;
    return is_worth_renewing(&told) ? COPY_SHOWS_LIFE : COPY_STAYS;
}
