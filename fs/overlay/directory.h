/*
 * The names in one directory of a session: those that differ from the template's, and those that
 * were looked up. Guarded by session.names.
 *
 *     state of a name                       entry here
 *     as in the template, never asked for   none
 *     as in the template                    node, cookie of the template's position
 *     in the template, but removed          no node ("whiteout")
 *     made by the session                   node, `made`
 *     in neither                            none
 *
 * Cookies are positions of readdir (cookies.h): 1 and 2 are "." and "..", then come the names that
 * the session created, newest first, then the template's names by position, up to COOKIE_LAST. A
 * name keeps its cookie as long as it exists, even if another node is renamed over it. A name that
 * is removed and created again is a new name, even if the template has it.
 */
#ifndef MINTFS_OVERLAY_DIRECTORY_H
#define MINTFS_OVERLAY_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/overlay/cookies.h"
#include "fs/overlay/lower.h"

struct dentry {
    struct cookie cookie; /* 0 for a whiteout */
    struct node *node;    /* NULL: whiteout */
    bool made;            /* the session gave the node this name; else the template did */
    char name[];
};

struct directory {
    struct lower *lower;             /* borrowed from the session */
    uint32_t entry;                  /* in the template, or LOWER_NONE */
    uint32_t lower_count;            /* its children */
    uint32_t live;                   /* number of names that exist */
    VECTOR(struct dentry *) by_name; /* sorted */
    struct cookies added;            /* names that the session created */
};

MUST_CHECK int directory_new(struct lower *lower, uint32_t entry, struct directory **ret_directory);
void directory_free(struct directory *directory);

/* The entry, which may be a whiteout; NULL where there is none. */
struct dentry *directory_find(const struct directory *directory, const char *name);
/* The template's entry of that name here, whatever the session did to it, or LOWER_NONE. */
uint32_t directory_lower_entry(const struct directory *directory, const char *name);

/* The cookie of the template's child at that position, as long as its name exists. */
uint32_t directory_lower_cookie(const struct directory *directory, uint32_t position);

/*
 * Allocates an entry for this name, and makes room for it and one more, so that the functions below
 * cannot fail. An entry that is not passed to one of them must be freed.
 */
MUST_CHECK int directory_prepare(struct directory *directory, const char *name,
                                 struct dentry **ret_dentry);

/*
 * These three take over a prepared entry, and replace any entry of the same name by it. They do not
 * update `live`.
 */
/* Records that the session gave the node this name. */
void directory_set_made(struct directory *directory, struct dentry *dentry, struct node *node);
/* Records the node of a name that the template has. */
void directory_set_lower(struct directory *directory, struct dentry *dentry, struct node *node);
/* Records that the name was removed: by a whiteout if the template has it, else by no entry. */
void directory_hide(struct directory *directory, struct dentry *dentry);
/* Removes the entry: the name is then as in the template. */
void directory_forget(struct directory *directory, const char *name);

#endif
