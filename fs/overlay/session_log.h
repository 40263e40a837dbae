/*
 * Writes a session's change log. Removals can be recorded even on a full disk, by spending a
 * reserve.
 */
#ifndef MINTFS_OVERLAY_SESSION_LOG_H
#define MINTFS_OVERLAY_SESSION_LOG_H

#include "fs/overlay/overlay_internal.h"

/* Adds the records with which each log of the session begins. */
void session_add_header(const struct session *session, struct frame *frame);
/* Begins the log of a new session, the file NAME below dirfd. */
MUST_CHECK int session_begin_log(struct session *session, int dirfd, const char *name,
                                 const char *boot_id);
/* Removes the log: from then on the session does not exist. Nothing has changed on an error. */
MUST_CHECK int session_retire(struct session *session);
/*
 * Appends the frame, unless the session is discarded. On a full disk it makes room, and spends the
 * reserve for a removal. session.changes held, shared.
 */
MUST_CHECK int session_record(struct session *session, const struct frame *frame);

/* Sets the reserve aside again, if there is room. */
void session_list_refill_reserve(struct session_list *list);

#endif
