/*
 * Sessions that a program emptied and removed in order to make them again: rmtree(DIR), then
 * makedirs(DIR). On any file system, DIR is empty afterwards. On the mount, mkdir would make a
 * session with the template's files. A program that wants the usual behaviour gives the session's
 * directory the sticky bit, as the Python package does: mkdir(DIR, 01700). When such a directory is
 * removed while it is empty, the next mkdir of that name by the same user makes an empty session
 * with the same lease.
 *
 * Only the last EMPTIED_MAX sessions are remembered, and none across a remount. After that, mkdir
 * makes a session with the template's files.
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

/* Whether the session must be remembered if it is removed now: it is sticky and empty. */
bool emptied_describe(struct node *root, struct emptied_session *ret_session);
void emptied_remember(struct emptied *emptied, const struct emptied_session *session);
/*
 * Whether the session was remembered for that user, and its owner has not ended. In any case the
 * session is forgotten.
 */
bool emptied_take(struct emptied *emptied, const char *key, const char *id, uid_t uid,
                  struct session_lease *ret_lease);

/* Removes everything in a directory of a session. On an error a part of it may be removed. */
MUST_CHECK int emptied_clear(struct node *directory);

#endif
