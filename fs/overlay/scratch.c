#include "fs/overlay/scratch.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/overlay/scratch_internal.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

int scratch_lower(struct scratch *scratch, const char *key, struct lower **ret_lower)
{
    return lower_cache_get(&scratch->lowers, key, ret_lower);
}

static int make_session_held(struct scratch *scratch, struct lower *lower, const char *id,
                             const struct session_new_options *options, struct node **ret_root)
{
    if (!session_id_is_valid(id))
        return -EINVAL;
    if (session_table_find(&scratch->table, lower_key(lower), id))
        return -EEXIST;
    uint64_t serial;
    int r = serials_take(&scratch->serials, &serial);
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
    changelog_fill_name(name, session->serial);
    r = session_begin_log(session, scratch->logs_fd, name, scratch->boot_id);
    if (r == -ENOSPC && blocks_make_room(scratch->blocks))
        r = session_begin_log(session, scratch->logs_fd, name, scratch->boot_id);
    if (r == 0) {
        r = session_table_add(&scratch->table, session);
        if (r < 0 && changelog_unlink(session->log) < 0)
            log_warning("cannot remove the log of a session that was not created: %s/logs/%s",
                        scratch->path, name);
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
    struct listed_session *listed = session_table_find(&scratch->table, key, id);
    if (!listed)
        return -ENOENT;
    node_ref(listed->session->root);
    *ret_root = listed->session->root;
    return 0;
}

int scratch_session_rename(struct scratch *scratch, const char *key, const char *from,
                           const char *to, unsigned flags)
{
    if (!session_id_is_valid(to))
        return -EINVAL;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = session_table_find(&scratch->table, key, from);
    struct listed_session *replaced = session_table_find(&scratch->table, key, to);
    if (!listed)
        return -ENOENT;
    if (listed == replaced)
        return 0;
    if (replaced && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    int r = session_table_rename(&scratch->table, listed, replaced, to);
    scratch_worker_wake(&scratch->worker);
    return r;
}

static int discard_held(struct scratch *scratch, struct listed_session *listed)
{
    int r = session_retire(listed->session);
    if (r == 0)
        session_table_discard(&scratch->table, listed);
    return r;
}

int scratch_session_discard(struct scratch *scratch, const char *key, const char *id)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = session_table_find(&scratch->table, key, id);
    int r = listed ? discard_held(scratch, listed) : -ENOENT;
    if (r == 0)
        scratch_worker_wake(&scratch->worker);
    return r;
}

int scratch_session_end(struct scratch *scratch, const char *key, const char *id, uint64_t serial)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    struct listed_session *listed = session_table_find(&scratch->table, key, id);
    int r = -ENOENT;
    if (listed && session_serial(listed->session) == serial)
        r = session_open_files(listed->session) ? -EBUSY : discard_held(scratch, listed);
    if (r == 0)
        scratch_worker_wake(&scratch->worker);
    return r;
}

void scratch_each(struct scratch *scratch, uint64_t serial, scratch_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    for (const struct listed_session *listed = scratch->table.sessions; listed;
         listed = listed->hh.next)
        if (session_serial(listed->session) > serial && !visit(listed->session, context))
            return;
}

void scratch_readdir(struct scratch *scratch, const char *key, uint64_t cookie,
                     session_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    session_table_readdir(&scratch->table, key, cookie, visit, context);
}

void scratch_count(struct scratch *scratch, struct scratch_counts *ret_counts)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&scratch->mutex);
    *ret_counts = (struct scratch_counts){
        .sessions = HASH_COUNT(scratch->table.sessions),
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

void scratch_wake(struct scratch *scratch)
{
    scratch_worker_wake(&scratch->worker);
}
