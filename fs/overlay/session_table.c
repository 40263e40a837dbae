#include "fs/overlay/session_table.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

enum { SESSION_PATH_MAX = SHA256_HEX_LENGTH + 1 + SESSION_ID_MAX };

void session_table_init(struct session_table *table)
{
    table->sessions = NULL;
    cookies_init(&table->order, 0);
}

void session_table_fini(struct session_table *table)
{
    struct listed_session *listed;
    struct listed_session *next;
    HASH_ITER (hh, table->sessions, listed, next) {
        HASH_DEL(table->sessions, listed);
        free(listed);
    }
    cookies_fini(&table->order);
}

static void fill_path(char path[SESSION_PATH_MAX + 1], const char *key, const char *id)
{
    (void)snprintf(path, SESSION_PATH_MAX + 1, "%s/%s", key, id);
}

struct listed_session *session_table_find(struct session_table *table, const char *key,
                                          const char *id)
{
    char path[SESSION_PATH_MAX + 1];
    fill_path(path, key, id);
    struct listed_session *listed;
    HASH_FIND_STR(table->sessions, path, listed);
    return listed;
}

int session_table_add(struct session_table *table, struct session *session)
{
    size_t length = strlen(session_key(session)) + 1 + strlen(session_id(session)) + 1;
    struct listed_session *listed = calloc(1, sizeof(*listed) + length);
    if (!listed)
        return -ENOMEM;
    int r = cookies_reserve(&table->order, 1);
    if (r < 0) {
        free(listed);
        return r;
    }
    (void)snprintf(listed->path, length, "%s/%s", session_key(session), session_id(session));
    listed->session = session;
    HASH_ADD_STR(table->sessions, path, listed);
    if (!HASH_ADDED(listed)) {
        free(listed);
        return -ENOMEM;
    }
    cookies_add(&table->order, &listed->cookie);
    return 0;
}

/* The entry stays in the order of listings. */
static void discard_entry(struct session_table *table, struct listed_session *listed)
{
    HASH_DEL(table->sessions, listed);
    session_discard(listed->session);
    session_unpin(listed->session);
    free(listed);
}

void session_table_discard(struct session_table *table, struct listed_session *listed)
{
    cookies_remove(&table->order, &listed->cookie);
    discard_entry(table, listed);
}

static int compare_serials(const struct listed_session *a, const struct listed_session *b)
{
    return a->session->serial < b->session->serial ? -1 : 1;
}

/*
 * The new ID is recorded first, then the other session's log is removed. If the daemon is killed in
 * between, recovery finds two sessions of the same ID and keeps the one whose log says that it
 * replaced the other.
 */
int session_table_rename(struct session_table *table, struct listed_session *listed,
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
    int r = cookies_reserve(&table->order, 1);
    /* Added before the log is written, since this can fail. Two entries now have the same path. */
    HASH_ADD_STR(table->sessions, path, renamed);
    if (!HASH_ADDED(renamed)) {
        free(renamed);
        return -ENOMEM;
    }
    if (r == 0)
        r = session_take_id(session, to, replaced ? replaced->session->serial : 0, &lease);
    if (r == 0 && replaced) {
        r = session_retire(replaced->session);
        /* If neither log can be written, the IDs in memory remain valid. */
        if (r < 0 && session_take_id(session, strchr(listed->path, '/') + 1, 0, &own_lease) < 0)
            log_warning("cannot record the ID of a session: %s", listed->path);
    }
    if (r < 0) {
        HASH_DEL(table->sessions, renamed);
        free(renamed);
        return r;
    }
    if (replaced) {
        cookies_replace(&table->order, &replaced->cookie, &renamed->cookie);
        discard_entry(table, replaced);
    } else {
        cookies_add(&table->order, &renamed->cookie);
    }
    cookies_remove(&table->order, &listed->cookie);
    HASH_DEL(table->sessions, listed);
    free(listed);
    /* Restores the order of serials. A session that was just created is already the last. */
    const struct listed_session *before = renamed->hh.prev;
    if (before && compare_serials(before, renamed) > 0)
        HASH_SORT(table->sessions, compare_serials);
    return 0;
}

void session_table_readdir(const struct session_table *table, const char *key, uint64_t cookie,
                           session_visitor *visit, void *context)
{
    for (uint32_t i = cookies_after(&table->order, cookie); i-- > 0;) {
        const struct listed_session *listed = (struct listed_session *)table->order.listed.items[i];
        const struct session *session = listed->session;
        if (!strcmp(session_key(session), key) &&
            !visit(session_id(session), node_ino(session->root), S_IFDIR, listed->cookie.value,
                   context))
            return;
    }
}
