/*
 * Creates a session: chooses a backend, makes the session there with its lease, and keeps its ID
 * unique over all backends.
 */
#ifndef MINTFS_CLIENT_SESSION_CREATE_H
#define MINTFS_CLIENT_SESSION_CREATE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/client/backend.h"
#include "fs/overlay/session.h"
#include "fs/store/store.h"

struct session_request {
    const char *template;   /* as a user names it (ensure_template.h), or NULL */
    const char *id;         /* or NULL: a random one */
    uint64_t ttl_seconds;   /* 0: no time to live */
    uint64_t owner_pid;     /* 0: no owner but the one that the ID may name */
    const char *owner_lock; /* of a copy (copy_lease.h), or NULL */
    bool needs_database;    /* an error if the template does not have exactly one SQLite database */
};

struct created_session {
    struct backend_choice choice;
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
    char *path;       /* absolute, owned */
    char *database;   /* below path, owned; where the request needs it */
    char *owner_lock; /* the file that the owner is to lock, owned; NULL: none */
};

/*
 * Builds the template and starts the mount if need be. Errors are logged: -EEXIST the template has
 * a session of this ID, -EINVAL a bad ID or no single database, -ENOENT no such template, -ESRCH or
 * -EXDEV no such owner, or not in this PID namespace, -EBUSY the mount is about to end. After an
 * error there is no session.
 */
MUST_CHECK int session_create(struct store *store, const struct session_request *request,
                              struct created_session *ret_created);
void created_session_fini(struct created_session *created);

/* Removes the session again, since nobody learned its path. A failure is logged. */
void session_create_undo(const struct store *store, const struct created_session *created);

#endif
