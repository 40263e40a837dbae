/*
 * The part of the mount that is not in a session: the root, templates/, sessions/ and .mintfs/.
 *
 * Inode numbers: those of sessions are serial << 32 | number, with serials from 1. Those of
 * template files are TEMPLATE_INO plus a number (lower.h). All others are below 1 << 32. No number
 * is used twice, because SQLite finds its locks by the inode number.
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
    INODE_TEMPLATE,    /* templates/KEY and everything below it: lower and entry */
    INODE_SESSIONS_OF, /* sessions/KEY: lower */
    INODE_NAME,        /* templates/NAME and sessions/NAME: a symbolic link to target */
};

#define TEMPLATE_INO ((uint64_t)1 << 62)

struct inode {
    enum inode_kind kind;
    uint64_t ino;
    uint32_t entry;      /* of the lower files; LOWER_ROOT for templates/KEY itself */
    struct lower *lower; /* referenced; NULL for the other kinds */
    const char *target;  /* of INODE_NAME: the key */
};

struct tree;

struct tree_options {
    const struct store *store; /* borrowed, like the scratch */
    struct scratch *scratch;
    uid_t uid; /* the owner of all inodes */
    gid_t gid;
    bool shared; /* other users may enter: anybody may make sessions */
};

MUST_CHECK int tree_new(const struct tree_options *options, struct tree **ret_tree);
void tree_free(struct tree *tree);

struct inode *tree_root(struct tree *tree);
/* The inode of templates/ or sessions/. */
struct inode *tree_listing(struct tree *tree, enum inode_kind kind);

/*
 * sessions/KEY if the kernel knows it, else NULL. It is not referenced: use it only in
 * notifications.
 */
const struct inode *tree_known_sessions_of(struct tree *tree, const char *key);

/* The child of that name, with a reference for the kernel. Not for INODE_SESSIONS_OF. -ENOENT. */
MUST_CHECK int tree_lookup(struct tree *tree, struct inode *parent, const char *name,
                           struct inode **ret_inode);
/* Drops `count` references. */
void tree_forget(struct tree *tree, struct inode *inode, uint64_t count);

void tree_stat(const struct tree *tree, const struct inode *inode, struct stat *ret_status);

/* As session_readdir(). Not for INODE_SESSIONS_OF. */
MUST_CHECK int tree_readdir(struct tree *tree, const struct inode *inode, uint64_t cookie,
                            session_visitor *visit, void *context);

#endif
