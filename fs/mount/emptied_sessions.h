/*
 * Sessions whose directory a program emptied and removed, to make it again: rmtree(DIR),
 * makedirs(DIR). In any file system it is empty then. On the mount a mkdir makes a session, with
 * the template's files; so who wants the usual behaviour gives the session's directory the sticky
 * bit, as the Python package does: mkdir(DIR, 01700). When such a directory is removed while it is
 * empty, the next mkdir of that name by the same user gives an empty session with the same lease.
 *
 * Only the last EMPTIED_MAX are remembered, and none over a remount: a name that was forgotten
 * gives a fresh session.
 */
#ifndef MINTFS_MOUNT_EMPTIED_SESSIONS_H
#define MINTFS_MOUNT_EMPTIED_SESSIONS_H

#include <stdbool.h>

#include "fs/base/sha256.h"
#include "fs/overlay/session.h"

enum { EMPTIED_MAX = 64 };

struct emptied_session {
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
    uid_t uid;
    struct session_lease lease;
};

struct emptied;

/* NULL when out of memory. */
struct emptied *emptied_new(void);
void emptied_free(struct emptied *emptied);

/*
 * Whether the session is one to remember, if it is removed now: the bit is set, and no name is
 * left.
 */
bool emptied_describe(struct node *root, struct emptied_session *ret_session);
void emptied_remember(struct emptied *emptied, const struct emptied_session *session);
/* Whether it was remembered, for that user, and its owner lives; it is forgotten by that. */
bool emptied_take(struct emptied *emptied, const char *key, const char *id, uid_t uid,
                  struct session_lease *ret_lease);

/* Removes all that the directory of a session has. */
MUST_CHECK int emptied_clear(struct node *directory);

#endif
