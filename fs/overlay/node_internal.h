/*
 * Nodes, for the other modules of the overlay.
 */
#ifndef MINTFS_OVERLAY_NODE_INTERNAL_H
#define MINTFS_OVERLAY_NODE_INTERNAL_H

#include "fs/overlay/overlay_internal.h"

/* Sets `unlimited` by the name of a new file. To be called before the file is written to. */
void node_note_name(struct node *node, const char *name);

/* Creates an empty node, listed in the session; session.names held. */
MUST_CHECK int node_new(struct session *session, uint32_t number, uint32_t entry, mode_t mode,
                        struct node **ret_node);
/* Creates a node from the template's entry, without a place in a directory; session.names held. */
MUST_CHECK int node_from_entry(struct session *session, uint32_t entry, struct node **ret_node);
/* The child of that name, created from the template if need be; -ENOENT. session.names held. */
MUST_CHECK int node_child(struct node *directory, const char *name, struct node **ret_node);
bool node_is_directory(const struct node *node);
uint64_t node_ino(const struct node *node);
/* Sets nlink, and with it whether changes are recorded; session.names held. */
void node_set_nlink(struct node *node, uint32_t nlink);
/* Frees it and releases its blocks; session.names held. */
void node_discard(struct node *node);
/* Frees it but leaves its blocks taken, for the next daemon; session.names held. */
void node_free(struct node *node);
/* Discards the node if it has no reference, and no name or no changes; session.names held. */
void node_drop_if_unused(struct node *node);

/* Its attributes as a record. node.lock or session.changes held. */
void node_fill_record(const struct node *node, struct node_record *ret_record);
/* Adds its attributes and all its extents to a frame. */
void node_add_whole(const struct node *node, struct frame *frame);

#endif
