#include <string.h>

#include "fs/base/log.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/scratch_internal.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

/* ---- templates ---- */

/*
 * The one that is listed, or NULL; with `fresh`, that one is listed if none was: NULL and the caller's
 * still where there is no memory.
 */
static struct lower *find_lower(struct scratch *scratch, const char *key,
                                struct listed_lower **fresh)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_lower *listed;
    HASH_FIND_STR(scratch->lowers, key, listed);
    if (!listed && fresh) {
        listed = steal_pointer(fresh);
        HASH_ADD_STR(scratch->lowers, key, listed);
        if (!HASH_ADDED(listed)) {
            *fresh = listed;
            return NULL;
        }
    }
    return listed ? lower_ref(listed->lower) : NULL;
}

/* Takes the caller's reference as well. */
static void unlist_lower(struct scratch *scratch, struct lower *lower)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_lower *listed;
    HASH_FIND_STR(scratch->lowers, lower_key(lower), listed);
    if (listed && listed->lower == lower) {
        HASH_DEL(scratch->lowers, listed);
        lower_unref(listed->lower);
        free(listed);
    }
    lower_unref(lower);
}

int scratch_lower(struct scratch *scratch, const char *key, struct lower **ret_lower)
{
    *ret_lower = find_lower(scratch, key, NULL);
    if (*ret_lower && lower_is_current(*ret_lower))
        return 0;
    /* Evicted since, and built anew: the old one stays with whoever still refers to it. */
    if (*ret_lower)
        unlist_lower(scratch, *ret_lower);
    /* Without the lock: its manifest may be long. */
    struct listed_lower *fresh = calloc(1, sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    int r = lower_open(scratch->store, key, &fresh->lower);
    if (r == 0) {
        (void)snprintf(fresh->key, sizeof(fresh->key), "%s", key);
        *ret_lower = find_lower(scratch, key, &fresh);
        r = *ret_lower ? 0 : -ENOMEM;
        if (fresh)
            lower_unref(fresh->lower);
    }
    free(fresh);
    return r;
}

void scratch_drop_lowers(struct scratch *scratch, bool all)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_lower *listed;
    struct listed_lower *next;
    HASH_ITER (hh, scratch->lowers, listed, next) {
        lower_rest(listed->lower);
        if (!all && lower_refs(listed->lower) > 1)
            continue;
        HASH_DEL(scratch->lowers, listed);
        lower_unref(listed->lower);
        free(listed);
    }
}

/* ---- sessions ---- */

enum { SESSION_PATH_MAX = SHA256_HEX_LENGTH + 1 + SESSION_ID_MAX };

static void fill_path(char path[SESSION_PATH_MAX + 1], const char *key, const char *id)
{
    (void)snprintf(path, SESSION_PATH_MAX + 1, "%s/%s", key, id);
}

void scratch_fill_log_name(char name[LOG_NAME_LENGTH + 1], uint64_t serial)
{
    (void)snprintf(name, LOG_NAME_LENGTH + 1, "%016llx", (unsigned long long)serial);
}

struct listed_session *scratch_find_listed(struct scratch *scratch, const char *key, const char *id)
{
    char path[SESSION_PATH_MAX + 1];
    fill_path(path, key, id);
    struct listed_session *listed;
    HASH_FIND_STR(scratch->sessions, path, listed);
    return listed;
}

int scratch_list_session(struct scratch *scratch, struct session *session)
{
    size_t length = strlen(session_key(session)) + 1 + strlen(session_id(session)) + 1;
    struct listed_session *listed = calloc(1, sizeof(*listed) + length);
    if (!listed)
        return -ENOMEM;
    int r = cookies_reserve(&scratch->order, 1);
    if (r < 0) {
        free(listed);
        return r;
    }
    (void)snprintf(listed->path, length, "%s/%s", session_key(session), session_id(session));
    listed->session = session;
    HASH_ADD_STR(scratch->sessions, path, listed);
    if (!HASH_ADDED(listed)) {
        free(listed);
        return -ENOMEM;
    }
    cookies_add(&scratch->order, &listed->cookie);
    return 0;
}

static int compare_serials(const struct listed_session *a, const struct listed_session *b)
{
    return a->session->serial < b->session->serial ? -1 : 1;
}

static int make_session_held(struct scratch *scratch, struct lower *lower, const char *id,
                             const struct session_new_options *options, struct node **ret_root)
{
    if (!session_id_is_valid(id))
        return -EINVAL;
    if (scratch_find_listed(scratch, lower_key(lower), id))
        return -EEXIST;
    uint64_t serial;
    int r = scratch_take_serial(scratch, &serial);
    if (r < 0)
        return r;
    struct session *session;
    uint64_t owner;
    r = session_make_owner(&owner);
    if (r < 0)
        return r;
    r = session_new(&(struct session_place){.list = &scratch->all,
                                            .blocks = scratch->blocks,
                                            .lower = lower,
                                            .id = id,
                                            .uid = options->uid,
                                            .gid = options->gid,
                                            .serial = serial,
                                            .owner = owner,
                                            .limit_blocks = scratch->session_limit_blocks},
                    &session);
    if (r < 0)
        return r;
    session->root->mode = S_IFDIR | (options->mode & 07777);
    session->lease = options->lease;
    char name[LOG_NAME_LENGTH + 1];
    scratch_fill_log_name(name, session->serial);
    r = session_begin_log(session, scratch->logs_fd, name, scratch->boot_id);
    if (r == -ENOSPC && blocks_make_room(scratch->blocks))
        r = session_begin_log(session, scratch->logs_fd, name, scratch->boot_id);
    if (r == 0) {
        r = scratch_list_session(scratch, session);
        if (r < 0 && changelog_unlink(session->log) < 0)
            log_warning("a session's log stays behind: %s/logs/%s", scratch->path, name);
    }
    if (r < 0) {
        session_unpin(session);
        return r;
    }
    scratch->sessions_made++;
    node_ref(session->root);
    *ret_root = session->root;
    return 0;
}

int scratch_session_new(struct scratch *scratch, struct lower *lower, const char *id,
                        const struct session_new_options *options, struct node **ret_root)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    return make_session_held(scratch, lower, id, options, ret_root);
}

int scratch_session_find(struct scratch *scratch, const char *key, const char *id,
                         struct node **ret_root)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = scratch_find_listed(scratch, key, id);
    if (!listed)
        return -ENOENT;
    node_ref(listed->session->root);
    *ret_root = listed->session->root;
    return 0;
}

/* Not from the order of listings. */
static void unlist_held(struct scratch *scratch, struct listed_session *listed)
{
    HASH_DEL(scratch->sessions, listed);
    session_discard(listed->session);
    session_unpin(listed->session);
    free(listed);
}

void scratch_unlist_session(struct scratch *scratch, struct listed_session *listed)
{
    cookies_remove(&scratch->order, &listed->cookie);
    unlist_held(scratch, listed);
}

/*
 * The new name is recorded first, then the other's log goes. Killed in between, recovery finds two
 * sessions of one ID, and keeps the one that says that it replaced the other.
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
    int r = cookies_reserve(&scratch->order, 1);
    /* What can fail comes before the log is written; for a moment both have the replaced one's path. */
    HASH_ADD_STR(scratch->sessions, path, renamed);
    if (!HASH_ADDED(renamed)) {
        free(renamed);
        return -ENOMEM;
    }
    if (r == 0)
        r = session_take_id(session, to, replaced ? replaced->session->serial : 0, &lease);
    if (r == 0 && replaced) {
        r = session_retire(replaced->session);
        /* The log of either cannot be written then: the names in memory are what counts. */
        if (r < 0 && session_take_id(session, strchr(listed->path, '/') + 1, 0, &own_lease) < 0)
            log_warning("a session's name is in doubt: %s", listed->path);
    }
    if (r < 0) {
        HASH_DEL(scratch->sessions, renamed);
        free(renamed);
        return r;
    }
    if (replaced) {
        cookies_replace(&scratch->order, &replaced->cookie, &renamed->cookie);
        unlist_held(scratch, replaced);
    } else {
        cookies_add(&scratch->order, &renamed->cookie);
    }
    cookies_remove(&scratch->order, &listed->cookie);
    HASH_DEL(scratch->sessions, listed);
    free(listed);
    /* Kept in order of serials; a session that was made to be renamed is the last already. */
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
    struct listed_session *listed = scratch_find_listed(scratch, key, from);
    struct listed_session *replaced = scratch_find_listed(scratch, key, to);
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

static int discard_held(struct scratch *scratch, struct listed_session *listed)
{
    int r = session_retire(listed->session);
    if (r == 0)
        scratch_unlist_session(scratch, listed);
    return r;
}

int scratch_session_discard(struct scratch *scratch, const char *key, const char *id)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = scratch_find_listed(scratch, key, id);
    int r = listed ? discard_held(scratch, listed) : -ENOENT;
    if (r == 0)
        scratch_wake(scratch);
    return r;
}

int scratch_session_end(struct scratch *scratch, const char *key, const char *id, uint64_t serial)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = scratch_find_listed(scratch, key, id);
    int r = -ENOENT;
    if (listed && session_serial(listed->session) == serial)
        r = session_open_files(listed->session) ? -EBUSY : discard_held(scratch, listed);
    if (r == 0)
        scratch_wake(scratch);
    return r;
}

void scratch_each(struct scratch *scratch, uint64_t serial, scratch_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    for (const struct listed_session *listed = scratch->sessions; listed; listed = listed->hh.next)
        if (session_serial(listed->session) > serial && !visit(listed->session, context))
            return;
}

void scratch_readdir(struct scratch *scratch, const char *key, uint64_t cookie,
                     session_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    for (uint32_t i = cookies_after(&scratch->order, cookie); i-- > 0;) {
        const struct listed_session *listed = (struct listed_session *)scratch->order.listed[i];
        const struct session *session = listed->session;
        if (!strcmp(session_key(session), key) &&
            !visit(session_id(session), node_ino(session->root), S_IFDIR, listed->cookie.value,
                   context))
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
