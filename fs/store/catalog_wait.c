#include "fs/store/catalog_wait.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/store/catalog_place.h"
#include "fs/store/sql.h"

enum { LOG_AFTER_SECONDS = 1, GIVE_UP_SECONDS = 30, PAUSE_MAX_MS = 50 };

/*
 * The process that has the file locked; 0: not visible to this process. It reads /proc/locks, since
 * closing a descriptor of the file would release our own locks on it.
 */
static int find_holder(const struct store *store)
{
    struct stat status;
    if (fstatat(store->v1_fd, CATALOG_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    int found = 0;
    while (locks && !found && fgets(line, sizeof(line), locks)) {
        char mode[8];
        int pid;
        unsigned major_number;
        unsigned minor_number;
        unsigned long inode;
        if (sscanf(line, "%*d: POSIX %*s %7s %d %x:%x:%lu", mode, &pid, &major_number,
                   &minor_number, &inode) == 5 &&
            inode == status.st_ino && makedev(major_number, minor_number) == status.st_dev &&
            pid > 0 && pid != getpid())
            found = pid;
    }
    if (locks)
        (void)fclose(locks);
    return found;
}

static void log_wait(const struct catalog_wait *wait, bool gives_up)
{
    char holder[32] = "another process";
    int pid = find_holder(wait->store);
    if (pid)
        (void)snprintf(holder, sizeof(holder), "process %d", pid);
    if (gives_up)
        log_error("catalog %s/v1/%s: %s has kept it locked for %d s; end that process, or try "
                  "again when it has ended",
                  wait->store->path, CATALOG_FILE, holder, GIVE_UP_SECONDS);
    else
        log_info("waiting for the catalog %s/v1/%s, which %s has locked", wait->store->path,
                 CATALOG_FILE, holder);
}

/* SQLite's busy handler: 1, try again; 0, give up. */
static int on_busy(void *context, int count)
{
    struct catalog_wait *wait = context;
    if (wait->is_over)
        return 0;
    int64_t now_ns = clock_monotonic_ns();
    if (!wait->began_ns)
        wait->began_ns = now_ns;
    int64_t waited_ns = now_ns - wait->began_ns;
    if (waited_ns >= GIVE_UP_SECONDS * NS_PER_S) {
        log_wait(wait, true);
        wait->is_over = true;
        return 0;
    }
    if (!wait->is_logged && waited_ns >= LOG_AFTER_SECONDS * NS_PER_S) {
        log_wait(wait, false);
        wait->is_logged = true;
    }
    long pause_ms = count < PAUSE_MAX_MS ? count + 1 : PAUSE_MAX_MS;
    (void)nanosleep(&(struct timespec){.tv_nsec = pause_ms * 1000 * 1000}, NULL);
    return 1;
}

int catalog_wait_install(struct catalog_wait *wait, sqlite3 *db)
{
    return sql_error(sqlite3_busy_handler(db, on_busy, wait));
}

void catalog_wait_end(struct catalog_wait *wait)
{
    wait->began_ns = 0;
    wait->is_logged = wait->is_over = false;
}
