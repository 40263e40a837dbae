/*
 * The thread waits for the next event: the end of an owner (pidfd_open(2)), the earliest time that
 * a session ends, or a changed lease. Then it examines all sessions again. It serves no requests
 * and holds no lock, so it may tell the kernel to forget a session's name.
 */
#include "fs/mount/leases.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/spawn.h"
#include "fs/base/vector.h"
#include "fs/mount/idle.h"
#include "fs/mount/server.h"
#include "fs/mount/target.h"
#include "fs/overlay/node.h"
#include "fs/overlay/scratch.h"

enum {
    /* While a session that should end has open files. */
    RETRY_MS = 1000,
    OWNERS_MAX = 4096,
};

/*
 * A process that owns sessions. Its state is determined once in each survey; the descriptor is
 * kept.
 */
struct owner {
    struct process_id id;
    int pidfd; /* -1: not available; its state is then polled */
    enum process_state state;
    bool is_owner; /* this survey has found a session of it */
};

struct lease_keeper {
    struct server *server;
    pthread_t thread;
    int wake_fd;
    atomic_bool stopping;
    VECTOR(struct owner) owners; /* used by the thread alone */
};

struct ended_session {
    uint64_t serial;
    bool unused; /* it ends because nobody used it, which is logged */
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
};

/* One look at all sessions, and what it found. */
struct survey {
    struct lease_keeper *keeper;
    VECTOR(struct ended_session) ended;
    int64_t left_ns; /* until the next session ends */
    bool retry;      /* repeat the survey soon */
};

/* ---- owners ---- */

static bool is_same(const struct process_id *a, const struct process_id *b)
{
    return a->pid == b->pid && a->start == b->start && a->pid_namespace == b->pid_namespace &&
           a->time_namespace == b->time_namespace;
}

static enum process_state current_state(const struct owner *owner)
{
    struct pollfd poll_fd = {.fd = owner->pidfd, .events = POLLIN};
    if (owner->pidfd < 0)
        return process_look(&owner->id);
    return poll(&poll_fd, 1, 0) == 1 ? PROCESS_GONE : PROCESS_LIVES;
}

/*
 * Starts to watch a living owner. Its state is read again after pidfd_open(2): if the process still
 * lives, the descriptor refers to it and not to a later process with its PID.
 */
static enum process_state watch(struct survey *survey, const struct process_id *id)
{
    struct lease_keeper *keeper = survey->keeper;
    struct owner owner = {.id = *id, .is_owner = true, .state = process_look(id)};
    if (owner.state != PROCESS_LIVES)
        return owner.state;
    if (keeper->owners.count == OWNERS_MAX || vector_reserve(&keeper->owners, 1) < 0) {
        survey->retry = true;
        return owner.state;
    }
    owner.pidfd = (int)syscall(SYS_pidfd_open, id->pid, 0);
    owner.state = process_look(id);
    keeper->owners.items[keeper->owners.count++] = owner;
    return owner.state;
}

static enum process_state owner_state(struct survey *survey, const struct process_id *id)
{
    struct lease_keeper *keeper = survey->keeper;
    /* Backwards, since consecutive sessions often have the same owner. */
    for (size_t i = keeper->owners.count; i-- > 0;) {
        struct owner *owner = &keeper->owners.items[i];
        if (!is_same(&owner->id, id))
            continue;
        if (!owner->is_owner)
            owner->state = current_state(owner);
        owner->is_owner = true;
        return owner->state;
    }
    return watch(survey, id);
}

/* Stops watching processes that have ended or own no session any more. */
static void forget_others(struct lease_keeper *keeper)
{
    size_t kept = 0;
    for (size_t i = 0; i < keeper->owners.count; i++) {
        struct owner *owner = &keeper->owners.items[i];
        if (owner->is_owner && owner->state == PROCESS_LIVES)
            keeper->owners.items[kept++] = *owner;
        else if (owner->pidfd >= 0)
            (void)close(owner->pidfd);
    }
    keeper->owners.count = kept;
    for (size_t i = 0; i < kept; i++)
        keeper->owners.items[i].is_owner = false;
}

/* ---- sessions ---- */

static void note_ended(struct survey *survey, const struct session *session, bool unused)
{
    struct ended_session ended = {.serial = session_serial(session), .unused = unused};
    (void)snprintf(ended.key, sizeof(ended.key), "%s", session_key(session));
    (void)snprintf(ended.id, sizeof(ended.id), "%s", session_id(session));
    if (vector_push(&survey->ended, ended) < 0)
        survey->retry = true;
}

static bool examine(const struct session *session, void *context)
{
    struct survey *survey = context;
    struct session_lease lease;
    session_get_lease((struct session *)(uintptr_t)session, &lease);
    enum process_state owner = lease.owner.pid ? owner_state(survey, &lease.owner) : PROCESS_UNSEEN;
    bool by_idleness = !lease.ends_ns && owner != PROCESS_LIVES;
    int64_t left_ns = by_idleness ? session_lease_idle_left_ns(session_used_ns(session))
                                  : session_lease_time_left_ns(&lease);
    if (left_ns > 0 && owner != PROCESS_GONE)
        survey->left_ns = left_ns < survey->left_ns ? left_ns : survey->left_ns;
    else if (session_open_files(session) == 0)
        note_ended(survey, session, by_idleness && owner != PROCESS_GONE);
    else
        survey->retry = true;
    return true;
}

/*
 * Discards the session, then makes the kernel forget its name. Returns whether to try again,
 * because the session was used since the survey.
 */
static bool end_session(struct server *server, const struct ended_session *ended)
{
    int r = scratch_session_end(server->scratch, ended->key, ended->id, ended->serial);
    if (r == -ENOENT || r == -EBUSY)
        return r == -EBUSY;
    if (r < 0)
        log_warning("cannot discard the session %s: %s", ended->id, strerror(-r));
    else if (ended->unused)
        log_info("discarded the session %s: nobody used it for a day", ended->id);
    const struct inode *parent = tree_known_sessions_of(server->tree, ended->key);
    if (parent) {
        fuse_ino_t id = target_id_of_inode(parent);
        (void)fuse_lowlevel_notify_inval_entry(server->fuse, id, ended->id, strlen(ended->id));
        /* The first call does not drop the listing if nobody has looked the name up. */
        (void)fuse_lowlevel_notify_inval_inode(server->fuse, id, 0, 0);
    }
    return r < 0;
}

static int timeout_ms(const struct survey *survey)
{
    if (survey->retry)
        return RETRY_MS;
    if (survey->left_ns == INT64_MAX)
        return -1;
    int64_t left_ms = survey->left_ns / NS_PER_MS + 1;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* Waits until an owner ends, the next lease runs out, or lease_keeper_wake() is called. */
static void await_event(const struct lease_keeper *keeper, const struct survey *survey)
{
    size_t count = keeper->owners.count + 1;
    AUTO_FREE struct pollfd *fds = calloc(count, sizeof(*fds));
    if (!fds)
        return;
    int wait_ms = timeout_ms(survey);
    fds[0] = (struct pollfd){.fd = keeper->wake_fd, .events = POLLIN};
    for (size_t i = 1; i < count; i++) {
        /* poll(2) ignores -1. */
        fds[i] = (struct pollfd){.fd = keeper->owners.items[i - 1].pidfd, .events = POLLIN};
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
        struct survey survey = {.keeper = keeper, .left_ns = INT64_MAX};
        scratch_each(server->scratch, 0, examine, &survey);
        forget_others(keeper);
        for (size_t i = 0; i < survey.ended.count; i++)
            survey.retry |= end_session(server, &survey.ended.items[i]);
        if (survey.ended.count)
            idle_wake(server);
        vector_fini(&survey.ended);
        await_event(keeper, &survey);
    }
    forget_others(keeper); /* after the last survey, that is all of them */
    vector_fini(&keeper->owners);
    return NULL;
}

int lease_keeper_start(struct server *server)
{
    struct lease_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return -ENOMEM;
    keeper->server = server;
    keeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = keeper->wake_fd < 0 ? log_errno(errno, "cannot watch the leases of sessions")
                                : spawn_thread(&keeper->thread, keep_leases, keeper);
    if (r < 0) {
        if (keeper->wake_fd >= 0)
            (void)close(keeper->wake_fd);
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
        return; /* the counter is at its maximum: the thread will wake */
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
