/*
 * The IDs of sessions. The rules are the same for every backend: an ID is the name of a directory,
 * below MNT/sessions/KEY or of a plain copy.
 */
#ifndef MINTFS_STORE_SESSION_ID_H
#define MINTFS_STORE_SESSION_ID_H

#include <stdbool.h>

enum { SESSION_ID_MAX = 128 };

/* 1 to 128 of [A-Za-z0-9._-], not starting with a dot. */
bool session_id_is_valid(const char *id);

/*
 * The process that owns the session according to its ID: the number after ".pid-" at its end, which
 * any language can pass to mkdir(2). 0: the ID names none. It is read when the session is made.
 */
int session_id_owner(const char *id);

#endif
