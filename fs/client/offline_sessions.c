#include "fs/client/offline_sessions.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/base/text.h"
#include "fs/client/daemon_control.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/sessions_at_rest.h"

static void scratch_closep(struct scratch **scratch)
{
    scratch_close(*scratch);
}

/* The options name no place for the store's own scratch, as for a mount without --scratch. */
static int open_scratch(const struct store *store, const char *path, struct scratch **ret_scratch)
{
    AUTO_FREE char *own = text_format("%s/v1/sessions", store->path);
    if (!own)
        return -ENOMEM;
    const struct scratch_options options = {.place = strcmp(path, own) != 0 ? path : NULL};
    return scratch_open(store, &options, ret_scratch);
}

int offline_sessions_remove(const struct store *store, const struct session_row *row)
{
    AUTO_LOCK struct lock starting = LOCK_INIT;
    CLEANUP(scratch_closep) struct scratch *scratch = NULL;
    int r = daemon_lock_start(store, &starting);
    if (r == 0)
        r = open_scratch(store, row->scratch, &scratch);
    if (r < 0)
        return r;
    r = scratch_session_discard(scratch, row->key, row->id);
    if (r == -ENOENT)
        return log_fail(ENOENT, "the session %s is gone already", row->id);
    return r < 0 ? log_errno(r, "cannot remove the session %s", row->id) : 0;
}

/* ---- ended leases ---- */

struct ended {
    uint64_t serial;
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
};

static bool find_ended(const struct session *session, void *context)
{
    struct ended *ended = context;
    struct session_lease lease;
    session_get_lease((struct session *)(uintptr_t)session, &lease);
    if (!session_lease_is_over(&lease))
        return true;
    ended->serial = session_serial(session);
    (void)snprintf(ended->key, sizeof(ended->key), "%s", session_key(session));
    (void)snprintf(ended->id, sizeof(ended->id), "%s", session_id(session));
    return false;
}

static int sweep_scratch(const struct store *store, const char *path)
{
    CLEANUP(scratch_closep) struct scratch *scratch = NULL;
    int r = open_scratch(store, path, &scratch);
    if (r < 0)
        return r;
    for (uint64_t seen = 0;;) {
        struct ended ended = {.serial = 0};
        scratch_each(scratch, seen, find_ended, &ended);
        if (!ended.serial)
            return 0;
        seen = ended.serial;
        r = scratch_session_end(scratch, ended.key, ended.id, ended.serial);
        if (r < 0)
            return log_errno(r, "cannot remove the session %s", ended.id);
    }
}

static int note_scratch(const struct session_at_rest *session, void *context)
{
    struct strlist *scratches = context;
    if (!session_lease_is_over(&session->lease) ||
        (scratches->count && !strcmp(scratches->items[scratches->count - 1], session->scratch)))
        return 0;
    return strlist_add(scratches, session->scratch);
}

int offline_sessions_sweep(const struct store *store)
{
    struct strlist scratches = STRLIST_INIT;
    AUTO_LOCK struct lock starting = LOCK_INIT;
    int r = daemon_lock_start(store, &starting);
    if (r == 0)
        r = sessions_each_at_rest(store, note_scratch, &scratches);
    for (size_t i = 0; r == 0 && i < scratches.count; i++)
        r = sweep_scratch(store, scratches.items[i]);
    strlist_fini(&scratches);
    return r;
}
