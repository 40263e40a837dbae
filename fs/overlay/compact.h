/*
 * Keeps a session's log short: its whole state, as one frame, replaces a log that has grown long.
 */
#ifndef MINTFS_OVERLAY_COMPACT_H
#define MINTFS_OVERLAY_COMPACT_H

#include "fs/overlay/overlay_internal.h"

/* Compacts the log if it is long. */
MUST_CHECK int session_compact(struct session *session);
/* Writes the log again, however short it is. */
MUST_CHECK int session_rewrite_log(struct session *session);
/* To be called after each change, with no lock held: compacts a long log, and may close it. */
void session_after_change(struct session *session);

/* Brackets a change to one node: takes session.changes, shared, and node.lock. */
void node_begin_change(struct node *node);
/* Releases both locks, and calls session_after_change(). */
void node_end_change(struct node *node);

#endif
