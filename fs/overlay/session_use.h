/*
 * What keeps a session and its nodes in memory: references of the mount to nodes, and pins of the
 * session, one for the scratch that lists it and one for each node with references. The last pin
 * frees the session.
 */
#ifndef MINTFS_OVERLAY_SESSION_USE_H
#define MINTFS_OVERLAY_SESSION_USE_H

#include "fs/overlay/node.h"

void node_ref(struct node *node);
/* Drops `count` references. The last one may free the node, and with it a discarded session. */
void node_unref(struct node *node, uint64_t count);

/* ---- inside the overlay ---- */

/* As node_ref(), with session.names held. */
void node_ref_held(struct node *node);
/* Notes that the session is in use now. */
void session_touch(struct session *session);
/* Drops a pin. The last one frees the session; blocks in its log stay taken. */
void session_unpin(struct session *session);
/* Frees the session despite its pins, when the scratch is closed. */
void session_free(struct session *session);

#endif
