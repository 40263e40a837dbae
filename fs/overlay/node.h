/*
 * A node is a file, directory or link of a session. Like an inode, it exists while it has a name or
 * a reference.
 */
#ifndef MINTFS_OVERLAY_NODE_H
#define MINTFS_OVERLAY_NODE_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct session;

struct session *node_session(const struct node *node);
/* Whether it is the session's own directory. */
bool node_is_root(const struct node *node);
/* Bytes of a symbolic link, without a NUL; owned by the node. */
const char *node_target(const struct node *node);

#endif
