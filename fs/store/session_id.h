/*
 * What an ID of a session may be. It is the same for every backend: the directory that is made
 * below MNT/sessions/KEY, or the directory of a plain copy.
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
