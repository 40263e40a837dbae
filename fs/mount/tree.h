/*
 * The part of the name space that is not a session's: the root, templates/, sessions/, .mintfs/.
 *
 * A FUSE node id is a pointer. Its low bit tells which kind: clear, a struct inode of this module;
 * set, a struct node of a session (fs/overlay/session.h). The kernel gives back each reference
 * that a reply handed out by FORGET, so a pointer that it names is always alive.
 *
 * Inode numbers: sessions' are serial << 32 | number, with serials from 1; a template's files have
 * TEMPLATE_INO and a number (lower.h), all else here is below 1 << 32. None is ever used again, as
 * SQLite's locks (keyed by inode) need.
 */
#ifndef MINTFS_MOUNT_TREE_H
#define MINTFS_MOUNT_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/overlay/dirops.h"
#include "fs/overlay/lower.h"
#include "fs/overlay/scratch.h"

enum inode_kind {
    INODE_ROOT,
    INODE_TEMPLATES,   /* templates/ */
    INODE_SESSIONS,    /* sessions/ */
    INODE_CONTROL,     /* .mintfs/ */
    INODE_STATUS,      /* .mintfs/status.json */
    INODE_TEMPLATE,    /* templates/KEY and all below it: base and entry */
    INODE_SESSIONS_OF, /* sessions/KEY: base */
    INODE_NAME,        /* templates/NAME and sessions/NAME: a link to target */
};

#define TEMPLATE_INO ((uint64_t)1 << 62)

struct inode {
    enum inode_kind kind;
    uint64_t ino;
    uint32_t entry;     /* of the base; LOWER_ROOT for templates/KEY itself */
    struct lower *base; /* referenced */
    const char *target;
};

struct tree;

struct tree_options {
    const struct store *store; /* borrowed, like the scratch */
    struct scratch *scratch;
    uid_t uid; /* of whoever mounted */
    gid_t gid;
    bool shared; /* others get in: anybody may make sessions */
};

MUST_CHECK int tree_new(const struct tree_options *options, struct tree **ret_tree);
void tree_free(struct tree *tree);

struct inode *tree_root(struct tree *tree);
/* templates/ or sessions/: for notifications. */
struct inode *tree_listing(struct tree *tree, enum inode_kind kind);

/* sessions/KEY if the kernel knows it, else NULL; only good for a notification. */
const struct inode *tree_known_sessions_of(struct tree *tree, const char *key);

/* The child of that name, with a reference for the kernel. Not for INODE_SESSIONS_OF. */
MUST_CHECK int tree_lookup(struct tree *tree, struct inode *parent, const char *name,
                           struct inode **ret_inode);
void tree_forget(struct tree *tree, struct inode *inode, uint64_t count);

void tree_stat(const struct tree *tree, const struct inode *inode, struct stat *ret_status);

/* As session_readdir(). Not for INODE_SESSIONS_OF. */
MUST_CHECK int tree_readdir(struct tree *tree, const struct inode *inode, uint64_t cookie,
                            session_visitor *visit, void *context);

#endif
