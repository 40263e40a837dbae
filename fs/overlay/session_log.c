#include "fs/overlay/session_log.h"

#include <string.h>

#include "fs/base/io.h"
#include "fs/overlay/node_internal.h"

void session_add_header(const struct session *session, struct frame *frame)
{
    struct session_header header = {.serial = session->serial,
                                    .owner = session->owner,
                                    .uid = session->uid,
                                    .gid = session->gid};
    struct template_record template;
    struct identity_record identity = {.replaced = session->replaced, .lease = session->lease};
    (void)snprintf(identity.id, sizeof(identity.id), "%s", session->id);
    memcpy(header.boot_id, session->boot_id, sizeof(header.boot_id));
    (void)snprintf(header.key, sizeof(header.key), "%s", lower_key(session->lower));
    (void)snprintf(header.id, sizeof(header.id), "%s", session->id);
    memcpy(template.digest, lower_digest(session->lower), sizeof(template.digest));
    frame_add_header(frame, &header);
    frame_add_template(frame, &template);
    if (session->replaced || session->lease.ends_ns || session->lease.owner.pid)
        frame_add_identity(frame, &identity);
}

int session_begin_log(struct session *session, int dirfd, const char *name, const char *boot_id)
{
    (void)snprintf(session->boot_id, sizeof(session->boot_id), "%s", boot_id);
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    session_add_header(session, &frame);
    node_add_whole(session->root, &frame);
    int r = changelog_create(dirfd, name, &frame, &session->log);
    if (r == 0)
        changelog_rest(session->log);
    return r;
}

int session_retire(struct session *session)
{
    /* Not while a compaction is replacing the log. */
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_write(&session->changes);
    int r = changelog_unlink(session->log);
    if (r == 0)
        atomic_store(&session->discarded, true);
    return r;
}

/* ---- the reserve ---- */

enum { RESERVE_BYTES = 64 << 10 };

/* Frees the space of the reserve; false if it is already spent. */
static bool spend_reserve(struct session_list *list)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&list->mutex);
    if (list->reserve_spent || list->reserve_fd < 0)
        return false;
    list->reserve_spent = true;
    return io_ftruncate(list->reserve_fd, 0) == 0;
}

void session_list_refill_reserve(struct session_list *list)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&list->mutex);
    if (list->reserve_spent && list->reserve_fd >= 0)
        list->reserve_spent = io_fallocate(list->reserve_fd, 0, 0, RESERVE_BYTES) < 0;
}

/* ---- records ---- */

int session_record(struct session *session, const struct frame *frame)
{
    if (atomic_load(&session->discarded))
        return 0;
    int r = changelog_append(session->log, frame);
    if (r == -ENOSPC && blocks_make_room(session->blocks))
        r = changelog_append(session->log, frame);
    if ((r == -ENOSPC || r == -EDQUOT) && frame->frees && spend_reserve(session->list))
        r = changelog_append(session->log, frame);
    return r;
}
