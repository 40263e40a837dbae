#include "fs/overlay/scratch.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/overlay/blocks.h"
#include "fs/overlay/node.h"

static const char marker_name[] = "mintfs-scratch";
static const char marker_text[] = "mintfs scratch 1\n";

enum { LOG_NAME_LENGTH = 16, IDLE_SECONDS = 1 };

struct listed_session {
    struct session *session;
    UT_hash_handle hh; /* by "KEY/ID" */
    char path[];
};

struct listed_base {
    struct base *base; /* one reference */
    UT_hash_handle hh; /* by key */
    char key[SHA256_HEX_LENGTH + 1];
};

struct scratch {
    const struct store *store;
    char *path;
    int dirfd;
    int logs_fd;
    struct lock lock;
    struct blocks *blocks;
    uint64_t session_limit_blocks;
    char boot_id[BOOT_ID_SIZE + 1];
    struct session_list all;

    pthread_mutex_t mutex;           /* guards what follows; taken before any session's lock */
    struct listed_session *sessions; /* in order of serials */
    struct listed_base *bases;
    uint64_t next_serial;
    uint64_t sessions_made;

    pthread_t caretaker;
    bool caretaker_runs;
    pthread_mutex_t care_mutex; /* innermost: guards the two below */
    pthread_cond_t care_wanted;
    bool wanted;
    bool stopping;
};

/* ---- templates ---- */

/* The one that is listed, or NULL; with `fresh`, that one is listed if none was. */
static struct base *find_base(struct scratch *scratch, const char *key, struct listed_base **fresh)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_base *listed;
    HASH_FIND_STR(scratch->bases, key, listed);
    if (!listed && fresh) {
        listed = steal_pointer(fresh);
        HASH_ADD_STR(scratch->bases, key, listed);
    }
    return listed ? base_ref(listed->base) : NULL;
}

int scratch_base(struct scratch *scratch, const char *key, struct base **ret_base)
{
    *ret_base = find_base(scratch, key, NULL);
    if (*ret_base)
        return 0;
    /* Without the lock: a template from elsewhere is checked when it is first opened. */
    struct listed_base *fresh = calloc(1, sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    int r = base_open(scratch->store, key, &fresh->base);
    if (r == 0) {
        (void)snprintf(fresh->key, sizeof(fresh->key), "%s", key);
        *ret_base = find_base(scratch, key, &fresh);
        if (fresh)
            base_unref(fresh->base);
    }
    free(fresh);
    return r;
}

/* Lets go of what nobody but this list refers to. */
static void drop_idle_bases(struct scratch *scratch, bool all)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_base *listed;
    struct listed_base *next;
    HASH_ITER (hh, scratch->bases, listed, next) {
        base_rest(listed->base);
        if (!all && base_refs(listed->base) > 1)
            continue;
        HASH_DEL(scratch->bases, listed);
        base_unref(listed->base);
        free(listed);
    }
}

/* ---- the caretaker ---- */

void scratch_wake(struct scratch *scratch)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->care_mutex);
    if (scratch->wanted)
        return;
    scratch->wanted = true;
    (void)pthread_cond_signal(&scratch->care_wanted);
}

/* Waits until something is wanted; false when it is time to go. */
static bool await_work(struct scratch *scratch)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->care_mutex);
    while (!scratch->wanted && !scratch->stopping)
        (void)pthread_cond_wait(&scratch->care_wanted, &scratch->care_mutex);
    scratch->wanted = false;
    return !scratch->stopping;
}

/* Templates rest only after a while without sessions: true unless the daemon stops before. */
static bool await_idleness(struct scratch *scratch)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->care_mutex);
    int r = 0;
    while (!scratch->stopping && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&scratch->care_wanted, &scratch->care_mutex, &until);
    return !scratch->stopping;
}

static void *take_care(void *context)
{
    struct scratch *scratch = context;
    while (await_work(scratch)) {
        if (blocks_wants_trim(scratch->blocks))
            blocks_trim(scratch->blocks);
        session_list_refill_reserve(&scratch->all);
        if (await_idleness(scratch)) {
            drop_idle_bases(scratch, false);
            if (blocks_wants_trim(scratch->blocks))
                blocks_trim(scratch->blocks);
        }
    }
    return NULL;
}

static int start_caretaker(struct scratch *scratch)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&scratch->care_wanted, &attributes);
    pthread_condattr_destroy(&attributes);
    int error = pthread_create(&scratch->caretaker, NULL, take_care, scratch);
    scratch->caretaker_runs = error == 0;
    return -error;
}

static void stop_caretaker(struct scratch *scratch)
{
    if (!scratch->caretaker_runs)
        return;
    (void)pthread_mutex_lock(&scratch->care_mutex);
    scratch->stopping = true;
    (void)pthread_cond_signal(&scratch->care_wanted);
    (void)pthread_mutex_unlock(&scratch->care_mutex);
    (void)pthread_join(scratch->caretaker, NULL);
    (void)pthread_cond_destroy(&scratch->care_wanted);
}

/* ---- sessions ---- */

bool session_id_is_valid(const char *id)
{
    size_t length = strlen(id);
    return length >= 1 && length <= SESSION_ID_MAX && id[0] != '.' &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               length;
}

enum { SESSION_PATH_MAX = SHA256_HEX_LENGTH + 1 + SESSION_ID_MAX };

static void fill_path(char path[SESSION_PATH_MAX + 1], const char *key, const char *id)
{
    (void)snprintf(path, SESSION_PATH_MAX + 1, "%s/%s", key, id);
}

static void fill_log_name(char name[LOG_NAME_LENGTH + 1], uint64_t serial)
{
    (void)snprintf(name, LOG_NAME_LENGTH + 1, "%016llx", (unsigned long long)serial);
}

static struct listed_session *find_session(struct scratch *scratch, const char *key, const char *id)
{
    char path[SESSION_PATH_MAX + 1];
    fill_path(path, key, id);
    struct listed_session *listed;
    HASH_FIND_STR(scratch->sessions, path, listed);
    return listed;
}

static int list_session(struct scratch *scratch, struct session *session)
{
    size_t length = strlen(session_key(session)) + 1 + strlen(session_id(session)) + 1;
    struct listed_session *listed = calloc(1, sizeof(*listed) + length);
    if (!listed)
        return -ENOMEM;
    (void)snprintf(listed->path, length, "%s/%s", session_key(session), session_id(session));
    listed->session = session;
    HASH_ADD_STR(scratch->sessions, path, listed);
    return 0;
}

static int compare_serials(const struct listed_session *a, const struct listed_session *b)
{
    return a->session->serial < b->session->serial ? -1 : 1;
}

static int make_session_held(struct scratch *scratch, struct base *base, const char *id,
                             const struct session_new_options *options, struct node **ret_root)
{
    if (!session_id_is_valid(id))
        return -EINVAL;
    if (find_session(scratch, base_key(base), id))
        return -EEXIST;
    if (scratch->next_serial > INT32_MAX)
        return -EMFILE;
    struct session *session;
    int r = session_new(&(struct session_place){.list = &scratch->all,
                                                .blocks = scratch->blocks,
                                                .base = base,
                                                .id = id,
                                                .serial = scratch->next_serial,
                                                .limit_blocks = scratch->session_limit_blocks},
                        &session);
    if (r < 0)
        return r;
    session->root->mode = S_IFDIR | (options->mode & 07777);
    session->root->uid = options->uid;
    session->root->gid = options->gid;
    char name[LOG_NAME_LENGTH + 1];
    fill_log_name(name, session->serial);
    r = session_begin_log(session, scratch->logs_fd, name, scratch->boot_id);
    if (r == 0) {
        r = list_session(scratch, session);
        if (r < 0 && changelog_unlink(session->log) < 0)
            log_warning("a session's log stays behind: %s/logs/%s", scratch->path, name);
    }
    if (r < 0) {
        session_unpin(session);
        return r;
    }
    scratch->next_serial++;
    scratch->sessions_made++;
    node_ref(session->root);
    *ret_root = session->root;
    return 0;
}

int scratch_session_new(struct scratch *scratch, struct base *base, const char *id,
                        const struct session_new_options *options, struct node **ret_root)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    return make_session_held(scratch, base, id, options, ret_root);
}

int scratch_session_find(struct scratch *scratch, const char *key, const char *id,
                         struct node **ret_root)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = find_session(scratch, key, id);
    if (!listed)
        return -ENOENT;
    node_ref(listed->session->root);
    *ret_root = listed->session->root;
    return 0;
}

/* Takes it off the list; its log is gone by now. */
static void unlist_session(struct scratch *scratch, struct listed_session *listed)
{
    HASH_DEL(scratch->sessions, listed);
    session_discard(listed->session);
    session_unpin(listed->session);
    free(listed);
}

/*
 * The new name is recorded first, then the other's log goes. Killed in between, recovery finds two
 * sessions of one ID, and keeps the one that says it was renamed.
 */
static int rename_held(struct scratch *scratch, struct listed_session *listed,
                       struct listed_session *replaced, const char *to)
{
    struct session *session = listed->session;
    struct session_lease lease;
    session_get_lease(replaced ? replaced->session : session, &lease);
    size_t length = strlen(session_key(session)) + 1 + strlen(to) + 1;
    struct listed_session *renamed = calloc(1, sizeof(*renamed) + length);
    if (!renamed)
        return -ENOMEM;
    (void)snprintf(renamed->path, length, "%s/%s", session_key(session), to);
    renamed->session = session;
    struct session_lease own_lease;
    session_get_lease(session, &own_lease);
    int r = session_take_id(session, to, &lease);
    if (r == 0 && replaced) {
        r = session_retire(replaced->session);
        /* The log of either cannot be written then: the names in memory are what counts. */
        if (r < 0 && session_take_id(session, strchr(listed->path, '/') + 1, &own_lease) < 0)
            log_warning("a session's name is in doubt: %s", listed->path);
    }
    if (r < 0) {
        free(renamed);
        return r;
    }
    if (replaced)
        unlist_session(scratch, replaced);
    HASH_DEL(scratch->sessions, listed);
    free(listed);
    HASH_ADD_STR(scratch->sessions, path, renamed);
    /* A listing goes by serials; a session that was made to be renamed is the last already. */
    const struct listed_session *before = renamed->hh.prev;
    if (before && compare_serials(before, renamed) > 0)
        HASH_SORT(scratch->sessions, compare_serials);
    return 0;
}

int scratch_session_rename(struct scratch *scratch, const char *key, const char *from,
                           const char *to, bool may_replace)
{
    if (!session_id_is_valid(to))
        return -EINVAL;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = find_session(scratch, key, from);
    struct listed_session *replaced = find_session(scratch, key, to);
    if (!listed)
        return -ENOENT;
    if (listed == replaced)
        return 0;
    if (replaced && !may_replace)
        return -EEXIST;
    int r = rename_held(scratch, listed, replaced, to);
    scratch_wake(scratch);
    return r;
}

int scratch_session_discard(struct scratch *scratch, const char *key, const char *id)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = find_session(scratch, key, id);
    int r = listed ? session_retire(listed->session) : -ENOENT;
    if (r < 0)
        return r;
    unlist_session(scratch, listed);
    scratch_wake(scratch);
    return 0;
}

void scratch_each(struct scratch *scratch, const char *key, uint64_t serial, scratch_visitor *visit,
                  void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    for (const struct listed_session *listed = scratch->sessions; listed;
         listed = listed->hh.next) {
        if (session_serial(listed->session) <= serial ||
            (key && strcmp(session_key(listed->session), key) != 0))
            continue;
        if (!visit(listed->session, context))
            return;
    }
}

void scratch_count(struct scratch *scratch, struct scratch_counts *ret_counts)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    *ret_counts = (struct scratch_counts){
        .sessions = HASH_COUNT(scratch->sessions),
        .sessions_made = scratch->sessions_made,
        .stored_bytes = blocks_taken(scratch->blocks) * BLOCK_SIZE_BYTES,
    };
}

int scratch_statvfs(const struct scratch *scratch, struct statvfs *ret_status)
{
    return fstatvfs(scratch->dirfd, ret_status) < 0 ? -errno : 0;
}

const char *scratch_path(const struct scratch *scratch)
{
    return scratch->path;
}

/* ---- recovery ---- */

static int find_base_for_recovery(const char *key, struct base **ret_base, void *context)
{
    return scratch_base(context, key, ret_base);
}

/* A log that tells of no session any more goes away, with a line. */
static int drop_log(struct scratch *scratch, const char *name, const char *reason)
{
    log_info("discarded the session of %s/logs/%s: %s", scratch->path, name, reason);
    return io_unlinkat(scratch->logs_fd, name, 0);
}

static int put_log_aside(struct scratch *scratch, const char *name)
{
    AUTO_FREE char *aside = NULL;
    if (asprintf(&aside, "%s.damaged", name) < 0) {
        aside = NULL;
        return -ENOMEM;
    }
    log_warning("%s/logs/%s is damaged: its session is lost, the log is kept as %s", scratch->path,
                name, aside);
    return io_renameat(scratch->logs_fd, name, scratch->logs_fd, aside);
}

static int recover_one(struct scratch *scratch, const char *name)
{
    struct recovery recovery = {
        .list = &scratch->all,
        .dirfd = scratch->logs_fd,
        .name = name,
        .blocks = scratch->blocks,
        .limit_blocks = scratch->session_limit_blocks,
        .boot_id = scratch->boot_id,
        .find_base = find_base_for_recovery,
        .context = scratch,
    };
    struct session *session;
    int r = session_recover(&recovery, &session);
    switch (r) {
    case 0:
        break;
    case -ESTALE:
        return drop_log(scratch, name, "the machine was started anew since");
    case -ENOENT:
        return drop_log(scratch, name, "its template is gone");
    case -EBADMSG:
        return put_log_aside(scratch, name);
    case -EPROTONOSUPPORT:
        return log_fail(EPROTONOSUPPORT,
                        "%s/logs/%s was written by a later mintfs; use that one, or remove %s",
                        scratch->path, name, scratch->path);
    default:
        return log_errno(r, "cannot recover the session of %s/logs/%s", scratch->path, name);
    }
    if (session->serial >= scratch->next_serial)
        scratch->next_serial = session->serial + 1;
    struct listed_session *other = find_session(scratch, session_key(session), session_id(session));
    if (other && !session->renamed) {
        r = session_retire(session);
        session_discard(session);
        session_unpin(session);
        return r;
    }
    if (other) {
        r = session_retire(other->session);
        unlist_session(scratch, other);
        if (r < 0)
            log_warning("a replaced session's log stays behind below %s/logs", scratch->path);
    }
    r = list_session(scratch, session);
    if (r < 0)
        session_unpin(session);
    return r;
}

struct log_list {
    char (*names)[LOG_NAME_LENGTH + 1];
    size_t count;
    size_t room;
};

/* Whatever a killed daemon was about to write is removed; the rest is for recovery. */
static int collect_log(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct log_list *list = context;
    size_t length = strlen(name);
    if (length > 4 && !strcmp(name + length - 4, ".new"))
        return io_unlinkat(dirfd, name, 0);
    if (length != LOG_NAME_LENGTH || strspn(name, "0123456789abcdef") != LOG_NAME_LENGTH)
        return 0;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        void *grown = realloc(list->names, room * sizeof(*list->names));
        if (!grown)
            return -ENOMEM;
        list->names = grown;
        list->room = room;
    }
    memcpy(list->names[list->count++], name, LOG_NAME_LENGTH + 1);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int recover_all(struct scratch *scratch)
{
    struct log_list list = {0};
    int r = dir_each(scratch->logs_fd, collect_log, &list);
    /* By serial, which is also the order in which the table lists them. */
    if (list.count)
        qsort(list.names, list.count, sizeof(*list.names), compare_names);
    for (size_t i = 0; r == 0 && i < list.count; i++)
        r = recover_one(scratch, list.names[i]);
    free(list.names);
    return r;
}

/* ---- opening and closing ---- */

static int read_boot_id(char ret_boot_id[BOOT_ID_SIZE + 1])
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
    int r = fd < 0 ? fd : io_pread_exact(fd, ret_boot_id, BOOT_ID_SIZE, 0);
    if (r < 0)
        return log_errno(r, "cannot read %s", path);
    ret_boot_id[BOOT_ID_SIZE] = '\0';
    return 0;
}

/* DIR/mintfs-UID, so that a shared place such as /dev/shm can be named. */
static int open_named_place(struct scratch *scratch, const char *place)
{
    AUTO_FREE char *real = realpath(place, NULL);
    if (!real)
        return log_errno(errno, "cannot use %s for scratch", place);
    if (asprintf(&scratch->path, "%s/mintfs-%u", real, (unsigned)geteuid()) < 0) {
        scratch->path = NULL;
        return -ENOMEM;
    }
    AUTO_FD int parent = io_openat(AT_FDCWD, real, O_RDONLY | O_DIRECTORY, 0);
    if (parent < 0)
        return log_errno(parent, "cannot use %s for scratch", place);
    scratch->dirfd = dir_ensure(parent, strrchr(scratch->path, '/') + 1, 0700);
    if (scratch->dirfd < 0)
        return log_errno(scratch->dirfd, "cannot make %s for scratch", scratch->path);
    return 0;
}

static int open_store_place(struct scratch *scratch)
{
    if (asprintf(&scratch->path, "%s/v1/sessions", scratch->store->path) < 0) {
        scratch->path = NULL;
        return -ENOMEM;
    }
    scratch->dirfd = io_openat(scratch->store->sessions_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    return scratch->dirfd < 0 ? log_errno(scratch->dirfd, "cannot open %s", scratch->path) : 0;
}

static int check_place(const struct scratch *scratch)
{
    struct stat status;
    if (fstat(scratch->dirfd, &status) < 0)
        return log_errno(errno, "cannot look at %s", scratch->path);
    if (status.st_uid != geteuid() || (status.st_mode & 022))
        return log_fail(EPERM,
                        "%s is not yours alone: remove it, or chmod 700 it, "
                        "or name another place with --scratch",
                        scratch->path);
    AUTO_FREE char *text = NULL;
    int r = dir_read_file(scratch->dirfd, marker_name, sizeof(marker_text) * 2, &text, NULL);
    if (r == -ENOENT && dir_is_empty(scratch->dirfd) == 1)
        r = dir_write_file(scratch->dirfd, marker_name, marker_text, strlen(marker_text), 0600);
    else if (r == -ENOENT)
        return log_fail(EPERM, "%s is not empty and no scratch of mintfs; name another place",
                        scratch->path);
    else if (r == 0 && strcmp(text, marker_text) != 0)
        return log_fail(EPROTONOSUPPORT,
                        "%s was made by a later mintfs; use that one, or name another place",
                        scratch->path);
    return r < 0 ? log_errno(r, "cannot use %s for scratch", scratch->path) : 0;
}

static int take_lock(struct scratch *scratch)
{
    int r = lock_take(&scratch->lock, scratch->dirfd, "lock", LOCK_EXCLUSIVE, false);
    if (r == -EWOULDBLOCK) {
        char holder[64] = "";
        if (lock_holder(scratch->dirfd, "lock", holder, sizeof(holder)) < 0)
            holder[0] = '\0';
        return log_fail(EWOULDBLOCK, "%s is in use by another mintfs mount%s%s", scratch->path,
                        holder[0] ? ", process " : "", holder);
    }
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (r == 0)
        r = lock_describe(&scratch->lock, pid);
    return r < 0 ? log_errno(r, "cannot lock %s", scratch->path) : 0;
}

static int open_parts(struct scratch *scratch)
{
    scratch->logs_fd = dir_ensure(scratch->dirfd, "logs", 0700);
    if (scratch->logs_fd < 0)
        return log_errno(scratch->logs_fd, "cannot make %s/logs", scratch->path);
    /* A disk that is full already has no reserve, until there is room. */
    scratch->all.reserve_fd =
        io_openat(scratch->dirfd, "reserve", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (scratch->all.reserve_fd < 0)
        return log_errno(scratch->all.reserve_fd, "cannot make %s/reserve", scratch->path);
    scratch->all.reserve_spent = true;
    session_list_refill_reserve(&scratch->all);
    int fd = io_openat(scratch->dirfd, "blocks", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0)
        return log_errno(fd, "cannot make %s/blocks", scratch->path);
    int r = blocks_new(fd, &scratch->blocks);
    if (r < 0)
        (void)close(fd);
    return r;
}

static int open_scratch(struct scratch *scratch, const struct scratch_options *options)
{
    int r = read_boot_id(scratch->boot_id);
    if (r == 0)
        r = options->place ? open_named_place(scratch, options->place) : open_store_place(scratch);
    if (r == 0)
        r = check_place(scratch);
    if (r == 0)
        r = take_lock(scratch);
    if (r == 0)
        r = open_parts(scratch);
    if (r == 0)
        r = recover_all(scratch);
    if (r == 0)
        r = start_caretaker(scratch);
    return r;
}

int scratch_open(const struct store *store, const struct scratch_options *options,
                 struct scratch **ret_scratch)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    scratch->store = store;
    scratch->dirfd = scratch->logs_fd = -1;
    scratch->lock = (struct lock)LOCK_INIT;
    scratch->next_serial = 1;
    scratch->session_limit_blocks =
        (options->session_limit_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
    pthread_mutex_init(&scratch->mutex, NULL);
    pthread_mutex_init(&scratch->all.mutex, NULL);
    LIST_INIT(&scratch->all.sessions);
    scratch->all.reserve_fd = -1;
    scratch->all.limit_blocks = (options->limit_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
    pthread_mutex_init(&scratch->care_mutex, NULL);
    int r = open_scratch(scratch, options);
    if (r < 0) {
        scratch_close(scratch);
        return r;
    }
    scratch_wake(scratch);
    *ret_scratch = scratch;
    return 0;
}

void scratch_close(struct scratch *scratch)
{
    if (!scratch)
        return;
    stop_caretaker(scratch);
    struct listed_session *listed;
    struct listed_session *next;
    HASH_ITER (hh, scratch->sessions, listed, next) {
        HASH_DEL(scratch->sessions, listed);
        free(listed);
    }
    while (!LIST_EMPTY(&scratch->all.sessions))
        session_free(LIST_FIRST(&scratch->all.sessions));
    drop_idle_bases(scratch, true);
    if (scratch->blocks && blocks_wants_trim(scratch->blocks))
        blocks_trim(scratch->blocks);
    blocks_free(scratch->blocks);
    if (scratch->logs_fd >= 0)
        (void)close(scratch->logs_fd);
    if (scratch->all.reserve_fd >= 0)
        (void)close(scratch->all.reserve_fd);
    lock_release(&scratch->lock);
    if (scratch->dirfd >= 0)
        (void)close(scratch->dirfd);
    pthread_mutex_destroy(&scratch->mutex);
    pthread_mutex_destroy(&scratch->all.mutex);
    pthread_mutex_destroy(&scratch->care_mutex);
    free(scratch->path);
    free(scratch);
}
