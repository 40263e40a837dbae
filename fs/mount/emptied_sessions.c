#include "fs/mount/emptied_sessions.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/process.h"
#include "fs/overlay/attributes.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/node.h"
#include "fs/overlay/session_use.h"

struct emptied {
    pthread_mutex_t mutex; /* innermost; guards the fields below */
    size_t next;           /* index of the oldest, which the next one replaces */
    struct emptied_session sessions[EMPTIED_MAX]; /* an empty ID marks a free one */
};

struct emptied *emptied_new(void)
{
    struct emptied *emptied = calloc(1, sizeof(*emptied));
    if (emptied)
        pthread_mutex_init(&emptied->mutex, NULL);
    return emptied;
}

void emptied_free(struct emptied *emptied)
{
    if (emptied)
        pthread_mutex_destroy(&emptied->mutex);
    free(emptied);
}

/* ---- the content of a directory ---- */

struct entry {
    char name[NAME_MAX + 1]; /* empty: none found */
    mode_t type;
};

static bool note_entry(const char *name, uint64_t ino UNUSED, mode_t type, uint64_t cookie UNUSED,
                       void *context)
{
    struct entry *entry = context;
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->type = type;
    return false;
}

static bool first_entry(struct node *directory, struct entry *ret_entry)
{
    *ret_entry = (struct entry){.type = 0};
    session_readdir(directory, COOKIE_PARENT, note_entry, ret_entry);
    return ret_entry->name[0] != '\0';
}

int emptied_clear(struct node *directory)
{
    struct entry entry;
    int r = 0;
    while (r == 0 && first_entry(directory, &entry)) {
        struct node *below;
        if (!S_ISDIR(entry.type)) {
            r = session_unlink(directory, entry.name);
            continue;
        }
        r = session_lookup(directory, entry.name, &below);
        if (r < 0)
            return r;
        r = emptied_clear(below);
        node_unref(below, 1);
        if (r == 0)
            r = session_rmdir(directory, entry.name);
    }
    return r;
}

/* ---- remembering sessions ---- */

bool emptied_describe(struct node *root, struct emptied_session *ret_session)
{
    struct stat status;
    struct entry entry;
    node_stat(root, &status);
    if (!(status.st_mode & S_ISVTX) || first_entry(root, &entry))
        return false;
    struct session *session = node_session(root);
    *ret_session = (struct emptied_session){.uid = status.st_uid};
    (void)snprintf(ret_session->key, sizeof(ret_session->key), "%s", session_key(session));
    (void)snprintf(ret_session->id, sizeof(ret_session->id), "%s", session_id(session));
    session_get_lease(session, &ret_session->lease);
    return true;
}

void emptied_remember(struct emptied *emptied, const struct emptied_session *session)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&emptied->mutex);
    emptied->sessions[emptied->next] = *session;
    emptied->next = (emptied->next + 1) % EMPTIED_MAX;
}

bool emptied_take(struct emptied *emptied, const char *key, const char *id, uid_t uid,
                  struct session_lease *ret_lease)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&emptied->mutex);
    for (size_t i = 0; i < EMPTIED_MAX; i++) {
        struct emptied_session *session = &emptied->sessions[i];
        if (strcmp(session->id, id) != 0 || strcmp(session->key, key) != 0)
            continue;
        session->id[0] = '\0';
        const struct process_id *owner = &session->lease.owner;
        if (session->uid != uid || (owner->pid && process_look(owner) == PROCESS_GONE))
            return false;
        *ret_lease = session->lease;
        return true;
    }
    return false;
}
