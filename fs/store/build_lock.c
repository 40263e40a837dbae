#include "fs/store/build_lock.h"

#include <signal.h>
#include <sys/time.h>

#include "fs/base/interrupt.h"
#include "fs/base/log.h"
#include "fs/store/lock_names.h"
#include "fs/store/names.h"

enum { CHECK_INTERVAL_US = 250000, HOLDER_SIZE = 128 };

static void ignore_alarm(int number UNUSED)
{
}

/*
 * A signal that arrives between interrupt_pending() and the wait does not end the wait: the timer
 * does.
 */
static int wait_interruptibly(const struct store *store, const char *lock_name, struct lock *lock)
{
    struct sigaction action = {.sa_handler = ignore_alarm};
    struct sigaction before;
    struct itimerval often = {.it_interval = {.tv_usec = CHECK_INTERVAL_US},
                              .it_value = {.tv_usec = CHECK_INTERVAL_US}};
    struct itimerval never = {.it_value = {.tv_usec = 0}};
    (void)sigaction(SIGALRM, &action, &before);
    (void)setitimer(ITIMER_REAL, &often, NULL);
    int r;
    do
        r = interrupt_pending()
                ? -EINTR
                : lock_take(lock, store->locks_fd, lock_name, LOCK_EXCLUSIVE, LOCK_WAIT);
    while (r == -EINTR && !interrupt_pending());
    (void)setitimer(ITIMER_REAL, &never, NULL);
    (void)sigaction(SIGALRM, &before, NULL);
    return r;
}

static void log_waiting(const struct store *store, const char *lock_name, const char *key,
                        const char *name)
{
    char holder[HOLDER_SIZE] = "";
    if (lock_holder(store->locks_fd, lock_name, holder, sizeof(holder)) == 1 && holder[0])
        log_info("waiting for %s, which builds %" PRI_KEY "%s%s%s", holder, key, name ? " (" : "",
                 name ? name : "", name ? ")" : "");
    else
        log_info("waiting for another process, which builds %" PRI_KEY, key);
}

int build_lock_take(const struct store *store, const char *key, const char *name_or_null,
                    struct lock *lock)
{
    char lock_name[KEY_LOCK_NAME_SIZE];
    char holder[HOLDER_SIZE];
    lock_name_for_build(key, lock_name);
    int r = lock_take(lock, store->locks_fd, lock_name, LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == -EWOULDBLOCK) {
        log_waiting(store, lock_name, key, name_or_null);
        r = wait_interruptibly(store, lock_name, lock);
    }
    if (r == -EINTR)
        return r;
    if (r == 0) {
        (void)snprintf(holder, sizeof(holder), "pid %d", getpid());
        r = lock_describe(lock, holder);
    }
    return r < 0 ? store_log_error(store->path, r, "v1/locks") : 0;
}
