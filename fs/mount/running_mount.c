#include "fs/mount/running_mount.h"

#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/base/dir.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/mount/mountpoint.h"
#include "fs/store/lock_names.h"

enum { DESCRIPTION_SIZE = PATH_MAX + 64 };

/* ---- reading ---- */

/* Parses what running_mount_describe() wrote; 0 if the writer has not finished. */
static int parse_description(char *text, struct serve_found *ret_found)
{
    struct serve_found found = {0};
    char *version = strchr(text, '\n');
    char *path = version ? strchr(version + 1, '\n') : NULL;
    char *end = path ? strchr(path + 1, '\0') : NULL;
    if (!end || end[-1] != '\n')
        return 0;
    end[-1] = '\0';
    unsigned device[2] = {0};
    found.grace_seconds = SERVE_GRACE_SECONDS;
    if (sscanf(text, "%d %u:%u %u", &found.pid, &device[0], &device[1], &found.grace_seconds) > 2)
        found.device = makedev(device[0], device[1]);
    (void)snprintf(found.version, sizeof(found.version), "%.*s", (int)(path - version - 1),
                   version + 1);
    found.mount_point = strdup(path + 1);
    if (!found.mount_point)
        return -ENOMEM;
    *ret_found = found;
    return 1;
}

int serve_find(const struct store *store, struct serve_found *ret_found)
{
    char text[DESCRIPTION_SIZE];
    int r = lock_holder(store->locks_fd, LOCK_NAME_MOUNT, text, sizeof(text));
    return r <= 0 ? r : parse_description(text, ret_found);
}

int serve_find_dead(const struct store *store, char **ret_mount_point)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_FREE char *text = NULL;
    int r = dir_read_file(store->locks_fd, LOCK_NAME_MOUNT, DESCRIPTION_SIZE, &text, NULL);
    if (r == 0)
        r = parse_description(text, &found);
    if (r <= 0)
        return r == -ENOMEM ? r : 0;
    if (mountpoint_state(found.mount_point) != MOUNT_STALE ||
        mountpoint_device(found.mount_point) != found.device)
        return 0;
    *ret_mount_point = steal_pointer(&found.mount_point);
    return 1;
}

void serve_found_fini(struct serve_found *found)
{
    free(found->mount_point);
    found->mount_point = NULL;
}

/* ---- writing ---- */

/*
 * One line each: "PID MAJOR:MINOR GRACE", the version, and the mount point. The device is 0:0 until
 * it exists. Earlier versions wrote and read only the first number.
 */
int running_mount_describe(struct lock *lock, const struct serve_options *options, dev_t device)
{
    AUTO_FREE char *text =
        text_format("%d %u:%u %u\n%s\n%s\n", (int)getpid(), major(device), minor(device),
                    options->grace_seconds, MINTFS_VERSION, options->mount_point);
    if (!text)
        return -ENOMEM;
    int r = lock_describe(lock, text);
    return r < 0 ? log_errno(r, "cannot write to the lock of %s", options->mount_point) : 0;
}

static int log_claimed(const struct store *store)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    if (serve_find(store, &found) == 1)
        return log_fail(EWOULDBLOCK, "the store %s is mounted at %s already (process %d)",
                        store->path, found.mount_point, found.pid);
    return log_fail(EWOULDBLOCK, "the store %s is being mounted by another process", store->path);
}

int running_mount_claim(const struct store *store, const struct serve_options *options,
                        struct lock *lock)
{
    int r = lock_take(lock, store->locks_fd, LOCK_NAME_MOUNT, LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == -EWOULDBLOCK)
        return log_claimed(store);
    if (r < 0)
        return log_errno(r, "cannot lock the store %s", store->path);
    r = running_mount_describe(lock, options, 0);
    if (r == 0)
        r = lock_sweep(store->locks_fd);
    return r < 0 ? log_errno(r, "cannot sweep %s/v1/locks", store->path) : 0;
}
