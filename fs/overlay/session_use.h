/*
 * What keeps a session in memory: references to its nodes, which the mount counts, and pins, one for
 * the scratch that lists the session and one for each node with references. The last one frees it.
 */
#ifndef MINTFS_OVERLAY_SESSION_USE_H
#define MINTFS_OVERLAY_SESSION_USE_H

#include "fs/overlay/node.h"

void node_ref(struct node *node);
/* Gives back `count` references; the last may free the node, and a discarded session with it. */
void node_unref(struct node *node, uint64_t count);

/* ---- inside the overlay ---- */

/* Another reference for the mount; session.names held. */
void node_ref_held(struct node *node);
/* Notes that the session is in use now. */
void session_touch(struct session *session);
/* One pin less. The last one frees the session; blocks that its log names stay taken. */
void session_unpin(struct session *session);
/* Frees it whatever pins it: at the daemon's end. */
void session_free(struct session *session);

#endif
