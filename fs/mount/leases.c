/*
 * Ends sessions whose time is up, or whose owner's process is gone, unless a file in them is open;
 * and the mount itself, where that is asked for, when nobody uses it or owns a session on it.
 *
 * A thread waits for what comes first: an owner's end (pidfd_open(2)), the earliest time, or a
 * changed lease. Then it looks at all sessions again. It is no request's thread and holds no lock,
 * so it may tell the kernel to forget a session's name.
 */
#include "fs/mount/leases.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/server.h"
#include "fs/mount/target.h"
#include "fs/overlay/node.h"
#include "fs/overlay/scratch.h"

enum {
    /* While a session that should end has files open. */
    RETRY_MS = 1000,
    OWNERS_MAX = 4096,
    /* How many times as long an idle mount waits for sessions that nobody owns. */
    UNOWNED_PATIENCE = 12,
};

/* An owner, found out about once in each look; its descriptor is kept from one look to the next. */
struct watched {
    struct process_id id;
    int pidfd; /* -1: there is none: it is asked for again and again */
    enum process_state state;
    bool is_owner; /* of a session that this look has found */
};

struct lease_keeper {
    struct server *server;
    pthread_t thread;
    int wake_fd;
    atomic_bool stopping;
    struct watched *watched; /* OWNERS_MAX of them; the thread's own */
    size_t watched_count;
};

/* What one look at all sessions finds. */
struct look {
    struct lease_keeper *keeper;
    bool failed;     /* no memory: looked again soon */
    int64_t left_ns; /* until the next one ends */
    bool retry;
    bool found_live; /* a session whose owner or time has not come to its end, or with open files */
    bool found_unowned; /* one without either */
    struct over {
        uint64_t serial;
        bool unused; /* nobody set its time: worth a line */
        char key[SHA256_HEX_LENGTH + 1];
        char id[SESSION_ID_MAX + 1];
    } * over;
    size_t over_count;
    size_t over_room;
};

/* ---- owners ---- */

static bool is_same(const struct process_id *a, const struct process_id *b)
{
    return a->pid == b->pid && a->start == b->start && a->pid_namespace == b->pid_namespace &&
           a->time_namespace == b->time_namespace;
}

static enum process_state ask(const struct watched *watched)
{
    struct pollfd poll_fd = {.fd = watched->pidfd, .events = POLLIN};
    if (watched->pidfd < 0)
        return process_look(&watched->id);
    return poll(&poll_fd, 1, 0) == 1 ? PROCESS_GONE : PROCESS_LIVES;
}

/* That it still is the owner after the descriptor was opened tells whose the descriptor is. */
static void watch(struct watched *watched)
{
    watched->pidfd = (int)syscall(SYS_pidfd_open, watched->id.pid, 0);
    watched->state = process_look(&watched->id);
}

static enum process_state owner_state(struct look *look, const struct process_id *owner)
{
    struct lease_keeper *keeper = look->keeper;
    enum process_state state;
    /* Sessions that were made one after another tend to have one owner. */
    for (size_t i = keeper->watched_count; i-- > 0;) {
        struct watched *watched = &keeper->watched[i];
        if (!is_same(&watched->id, owner))
            continue;
        if (!watched->is_owner)
            watched->state = ask(watched);
        watched->is_owner = true;
        return watched->state;
    }
    state = process_look(owner);
    if (state != PROCESS_LIVES)
        return state;
    if (keeper->watched_count == OWNERS_MAX) {
        look->retry = true;
        return state;
    }
    struct watched *watched = &keeper->watched[keeper->watched_count++];
    *watched = (struct watched){.id = *owner, .is_owner = true};
    watch(watched);
    return watched->state;
}

/* Keeps those that own a session and live. */
static void forget_others(struct lease_keeper *keeper)
{
    size_t kept = 0;
    for (size_t i = 0; i < keeper->watched_count; i++) {
        struct watched *watched = &keeper->watched[i];
        if (watched->is_owner && watched->state == PROCESS_LIVES)
            keeper->watched[kept++] = *watched;
        else if (watched->pidfd >= 0)
            (void)close(watched->pidfd);
    }
    keeper->watched_count = kept;
    for (size_t i = 0; i < kept; i++)
        keeper->watched[i].is_owner = false;
}

/* ---- sessions ---- */

static void note_over(struct look *look, const struct session *session, bool unused)
{
    if (look->over_count == look->over_room) {
        size_t room = look->over_room ? look->over_room * 2 : 16;
        void *grown = realloc(look->over, room * sizeof(*look->over));
        if (!grown) {
            look->failed = true;
            return;
        }
        look->over = grown;
        look->over_room = room;
    }
    struct over *over = &look->over[look->over_count++];
    over->serial = session_serial(session);
    over->unused = unused;
    (void)snprintf(over->key, sizeof(over->key), "%s", session_key(session));
    (void)snprintf(over->id, sizeof(over->id), "%s", session_id(session));
}

static bool look_at(const struct session *session, void *context)
{
    struct look *look = context;
    struct session_lease lease;
    session_get_lease((struct session *)(uintptr_t)session, &lease);
    enum process_state owner = lease.owner.pid ? owner_state(look, &lease.owner) : PROCESS_UNSEEN;
    bool by_idleness = !lease.ends_ns && owner != PROCESS_LIVES;
    int64_t left = by_idleness ? session_lease_idle_left_ns(session_used_ns(session))
                               : session_lease_time_left_ns(&lease);
    bool over = left <= 0 || owner == PROCESS_GONE;
    if (over && session_open_files(session) == 0) {
        note_over(look, session, by_idleness && owner != PROCESS_GONE);
        return true;
    }
    if (lease.owner.pid || lease.ends_ns || over)
        look->found_live = true;
    else
        look->found_unowned = true;
    look->retry |= over;
    if (!over && left < look->left_ns)
        look->left_ns = left;
    return true;
}

/*
 * The name goes first from the store of sessions, then from the kernel's memory. True where it is
 * to be tried again: the session was used since the look.
 */
static bool end_session(struct server *server, const struct over *over)
{
    int r = scratch_session_end(server->scratch, over->key, over->id, over->serial);
    if (r == -ENOENT || r == -EBUSY)
        return r == -EBUSY;
    if (r < 0)
        log_warning("cannot discard the session %s: %s", over->id, strerror(-r));
    else if (over->unused)
        log_info("discarded the session %s: nobody used it for a day", over->id);
    const struct inode *parent = tree_known_sessions_of(server->tree, over->key);
    if (parent) {
        fuse_ino_t id = target_id_of_inode(parent);
        (void)fuse_lowlevel_notify_inval_entry(server->fuse, id, over->id, strlen(over->id));
        /* That leaves the listing alone where nobody has looked the name up since the mount. */
        (void)fuse_lowlevel_notify_inval_inode(server->fuse, id, 0, 0);
    }
    return r < 0;
}

/*
 * Takes the mount away when nobody has asked for anything for long: a plain unmount, which fails
 * while the mount is in use. A test that computes for ten minutes finds its database where it was:
 * never while a session's owner may live or its time is not over. Of a session that has neither
 * nobody knows whether it is still wanted: it is waited for longer, and comes back with the next
 * mount. How long to wait until the next try; -1: no need.
 */
static int try_idle_exit(struct server *server, const struct look *look)
{
    int64_t limit_s = server->options->idle_seconds;
    if (look->found_unowned)
        limit_s = limit_s < INT_MAX / UNOWNED_PATIENCE ? limit_s * UNOWNED_PATIENCE : INT_MAX;
    int64_t limit_ns = limit_s * 1000000000;
    if (!limit_ns)
        return -1;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    int64_t used_ns = atomic_load(&server->used_ns);
    int64_t left_ns = used_ns + limit_ns - now_ns;
    if (left_ns <= 0 && look->found_live)
        left_ns = limit_ns;
    if (left_ns > 0)
        return left_ns / 1000000 < INT_MAX ? (int)(left_ns / 1000000) + 1 : INT_MAX;
    /* A session made from now on is refused; one made before was counted in used_ns. */
    atomic_store(&server->leaving, true);
    if (atomic_load(&server->used_ns) == used_ns && atomic_load(&server->open_files) == 0 &&
        mountpoint_unmount(server->options->mount_point, false) == 0)
        return -1;
    atomic_store(&server->leaving, false);
    server_touch(server);
    return RETRY_MS;
}

static int timeout_ms(const struct look *look)
{
    if (look->retry || look->failed)
        return RETRY_MS;
    if (look->left_ns == INT64_MAX)
        return -1;
    int64_t left_ms = look->left_ns / 1000000 + 1;
    return left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* Waits for an owner's end, the next time, or a call. */
static void await_event(const struct lease_keeper *keeper, const struct look *look)
{
    size_t count = keeper->watched_count + 1;
    AUTO_FREE struct pollfd *fds = calloc(count, sizeof(*fds));
    if (!fds)
        return;
    int wait_ms = timeout_ms(look);
    int idle_ms = try_idle_exit(keeper->server, look);
    if (idle_ms >= 0 && (wait_ms < 0 || idle_ms < wait_ms))
        wait_ms = idle_ms;
    fds[0] = (struct pollfd){.fd = keeper->wake_fd, .events = POLLIN};
    for (size_t i = 1; i < count; i++) {
        /* poll(2) passes over -1. */
        fds[i] = (struct pollfd){.fd = keeper->watched[i - 1].pidfd, .events = POLLIN};
        if (fds[i].fd < 0 && (wait_ms < 0 || wait_ms > RETRY_MS))
            wait_ms = RETRY_MS;
    }
    (void)poll(fds, (nfds_t)count, wait_ms);
    uint64_t calls;
    if ((fds[0].revents & POLLIN) && read(keeper->wake_fd, &calls, sizeof(calls)) < 0)
        return;
}

static void *keep_leases(void *context)
{
    struct lease_keeper *keeper = context;
    struct server *server = keeper->server;
    while (!atomic_load(&keeper->stopping)) {
        struct look look = {.keeper = keeper, .left_ns = INT64_MAX};
        scratch_each(server->scratch, 0, look_at, &look);
        forget_others(keeper);
        for (size_t i = 0; i < look.over_count; i++)
            look.retry |= end_session(server, &look.over[i]);
        free(look.over);
        await_event(keeper, &look);
    }
    for (size_t i = 0; i < keeper->watched_count; i++)
        if (keeper->watched[i].pidfd >= 0)
            (void)close(keeper->watched[i].pidfd);
    return NULL;
}

int lease_keeper_start(struct server *server)
{
    struct lease_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return -ENOMEM;
    keeper->watched = calloc(OWNERS_MAX, sizeof(*keeper->watched));
    if (!keeper->watched) {
        free(keeper);
        return -ENOMEM;
    }
    keeper->server = server;
    keeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = keeper->wake_fd < 0 ? log_errno(errno, "cannot watch over leases")
                                : spawn_thread(&keeper->thread, keep_leases, keeper);
    if (r < 0) {
        if (keeper->wake_fd >= 0)
            (void)close(keeper->wake_fd);
        free(keeper->watched);
        free(keeper);
        return r;
    }
    server->lease_keeper = keeper;
    return 0;
}

static void wake(const struct lease_keeper *keeper)
{
    static const uint64_t one = 1;
    if (write(keeper->wake_fd, &one, sizeof(one)) < 0)
        return; /* it has been called often enough */
}

void lease_keeper_stop(struct server *server)
{
    struct lease_keeper *keeper = server->lease_keeper;
    if (!keeper)
        return;
    atomic_store(&keeper->stopping, true);
    wake(keeper);
    (void)pthread_join(keeper->thread, NULL);
    (void)close(keeper->wake_fd);
    free(keeper->watched);
    free(keeper);
    server->lease_keeper = NULL;
}

void lease_keeper_wake(struct server *server)
{
    wake(server->lease_keeper);
}

int lease_set_owner(struct session_lease *lease, int caller, int number)
{
    int pid;
    int r = process_translate(caller, number, &pid);
    return r < 0 ? r : session_lease_set_owner(lease, pid);
}

int lease_set(struct node *node, int caller, const char *name, const char *value, size_t size)
{
    char digits[24];
    if (strcmp(name, LEASE_TTL_ATTRIBUTE) != 0 && strcmp(name, LEASE_OWNER_ATTRIBUTE) != 0)
        return -EOPNOTSUPP;
    if (size == 0 || size >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, value, size);
    digits[size] = '\0';
    if (strspn(digits, "0123456789") != size)
        return -EINVAL;
    uint64_t number = strtoull(digits, NULL, 10);
    struct session *session = node_session(node);
    struct session_lease lease;
    session_get_lease(session, &lease);
    if (!strcmp(name, LEASE_OWNER_ATTRIBUTE)) {
        int r = number > INT_MAX ? -ESRCH : lease_set_owner(&lease, caller, (int)number);
        return r < 0 ? r : session_set_lease(session, &lease);
    }
    if (number == 0 || number > INT32_MAX)
        return -EINVAL;
    session_lease_set_ttl(&lease, number);
    return session_set_lease(session, &lease);
}
