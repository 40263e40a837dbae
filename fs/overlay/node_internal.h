/*
 * Nodes, for the other modules of the overlay.
 */
#ifndef MINTFS_OVERLAY_NODE_INTERNAL_H
#define MINTFS_OVERLAY_NODE_INTERNAL_H

#include "fs/overlay/overlay_internal.h"

/* By its name, before it is written to: see struct node, unlimited. */
void node_note_name(struct node *node, const char *name);

/* A node with nothing in it, listed in the session; session.names held. */
MUST_CHECK int node_new(struct session *session, uint32_t number, uint32_t entry, mode_t mode,
                        struct node **ret_node);
/* As the template's entry has it, without a place in a directory; session.names held. */
MUST_CHECK int node_from_entry(struct session *session, uint32_t entry, struct node **ret_node);
/* The child of that name, made from the template if need be; -ENOENT. session.names held. */
MUST_CHECK int node_child(struct node *directory, const char *name, struct node **ret_node);
bool node_is_directory(const struct node *node);
uint64_t node_ino(const struct node *node);
/* Sets nlink, and whether changes are recorded; session.names held. */
void node_set_nlink(struct node *node, uint32_t nlink);
/* Frees it, its blocks as well; session.names held. */
void node_discard(struct node *node);
/* Frees it, but leaves its blocks taken, for the next daemon; session.names held. */
void node_free(struct node *node);
/* Frees the node if nothing needs it: no name, no reference; or unchanged and unreferenced. */
void node_drop_if_unused(struct node *node);

/* For recovery and compaction: the attributes as a record. node.lock or session.changes held. */
void node_fill_record(const struct node *node, struct node_record *ret_record);
/* Adds the node and all its extents to a frame. */
void node_add_whole(const struct node *node, struct frame *frame);

#endif
