/*
 * Each change of names is prepared (memory), recorded (the log), then applied. Only the first two
 * steps can fail.
 */
#include "fs/overlay/dirops.h"

#include <string.h>

#include "fs/base/clock.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/node_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#endif

#define AUTO_END_CHANGE UNUSED CLEANUP(end_change)

/* Takes both locks for a change of names, to the end of the scope. */
static struct session *begin_change(struct session *session)
{
    (void)pthread_rwlock_rdlock(&session->changes);
    (void)pthread_mutex_lock(&session->names);
    session_touch(session);
    return session;
}

static void end_change(struct session **session)
{
    (void)pthread_mutex_unlock(&(*session)->names);
    (void)pthread_rwlock_unlock(&(*session)->changes);
    session_after_change(*session);
}

static int check_place(const struct node *directory, const char *name)
{
    if (!node_is_directory(directory))
        return -ENOTDIR;
    if (directory->nlink == 0)
        return -ENOENT; /* removed, but still open or a working directory */
    if (!name || strlen(name) <= NAME_BYTES_MAX)
        return 0;
    return -ENAMETOOLONG;
}

static void touch(struct node *node, bool content)
{
    int64_t now = clock_real_coarse_ns();
    AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_write(&node->lock);
    node->ctime_ns = now;
    if (content)
        node->mtime_ns = now;
}

/* Removes a name from the directory; the prepared whiteout is used or freed. */
static void hide_name(struct node *directory, struct dentry *whiteout)
{
    directory_hide(directory->directory, whiteout);
    directory->directory->live--;
    directory->changed = true;
    touch(directory, true);
}

static void show_name(struct node *directory, struct dentry *dentry, struct node *node)
{
    const struct dentry *old = directory_find(directory->directory, dentry->name);
    bool existed = old ? old->node != NULL
                       : directory_lower_entry(directory->directory, dentry->name) != LOWER_NONE;
    directory_set_made(directory->directory, dentry, node);
    directory->directory->live += !existed;
    directory->changed = true;
    touch(directory, true);
}

/* Counts a removed name; the node is discarded if nothing else refers to it. */
static void lose_link(struct node *node)
{
    node->changed = true;
    node_set_nlink(node, node_is_directory(node) ? 0 : node->nlink - 1);
    touch(node, false);
    node_drop_if_unused(node);
}

static void count_subdirectory(struct node *directory, int by)
{
    node_set_nlink(directory, (uint32_t)((int64_t)directory->nlink + by));
}

static int find_here(struct node *directory, const char *name, struct node **ret_node)
{
    int r = check_place(directory, name);
    return r < 0 ? r : node_child(directory, name, ret_node);
}

int session_lookup(struct node *directory, const char *name, struct node **ret_node)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&directory->session->names);
    struct node *node;
    int r = find_here(directory, name, &node);
    if (r < 0)
        return r;
    node_ref_held(node);
    *ret_node = node;
    return 0;
}

static int make_node(struct session *session, const struct node_new *how, struct node **ret_node)
{
    if (session->next_number == UINT32_MAX)
        return -ENOSPC;
    struct node *node;
    int r = node_new(session, session->next_number, LOWER_NONE, how->mode, &node);
    if (r < 0)
        return r;
    if (S_ISLNK(how->mode)) {
        node->target = strdup(how->target);
        if (!node->target) {
            node_discard(node);
            return -ENOMEM;
        }
        node->size_bytes = strlen(how->target);
    }
    session->next_number++;
    node->uid = how->uid;
    node->gid = how->gid;
    node->rdev = how->rdev;
    node->changed = true;
    *ret_node = node;
    return 0;
}

/* Gives a node its first name, or another one. */
static int add_name(struct node *directory, const char *name, struct node *node)
{
    struct dentry *dentry;
    int r = directory_prepare(directory->directory, name, &dentry);
    if (r < 0)
        return r;
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    (void)pthread_rwlock_wrlock(&node->lock);
    if (!node->logged) /* nothing was recorded of it while it had no name */
        node_add_whole(node, &frame);
    frame_add_link(&frame, directory->number, name, node->number);
    r = session_record(node->session, &frame);
    if (r == 0) {
        node->nlink = node_is_directory(node) ? 2 : node->nlink + 1;
        node->named = true;
        node->logged = true;
        node->changed = true;
    }
    (void)pthread_rwlock_unlock(&node->lock);
    if (r < 0) {
        free(dentry);
        return r;
    }
    show_name(directory, dentry, node);
    if (node_is_directory(node)) {
        node->parent = directory;
        count_subdirectory(directory, 1);
    }
    return 0;
}

static int make_held(struct node *directory, const char *name, const struct node_new *how,
                     struct node **ret_node)
{
    struct node *node;
    int r = check_place(directory, name);
    if (r < 0)
        return r;
    if (S_ISLNK(how->mode) && strlen(how->target) > TARGET_BYTES_MAX)
        return -ENAMETOOLONG;
    if (name) {
        r = node_child(directory, name, &node);
        if (r != -ENOENT)
            return r < 0 ? r : -EEXIST;
    }
    r = make_node(directory->session, how, &node);
    if (r < 0)
        return r;
    if (name) {
        node_note_name(node, name);
        r = add_name(directory, name, node);
        if (r < 0) {
            node_discard(node);
            return r;
        }
    }
    node_ref_held(node);
    *ret_node = node;
    return 0;
}

int session_make(struct node *directory, const char *name, const struct node_new *how,
                 struct node **ret_node)
{
    AUTO_END_CHANGE struct session *changing = begin_change(directory->session);
    return make_held(directory, name, how, ret_node);
}

static int link_held(struct node *node, struct node *directory, const char *name)
{
    int r = check_place(directory, name);
    if (r < 0)
        return r;
    if (node_is_directory(node))
        return -EPERM;
    if (node->session != directory->session)
        return -EXDEV;
    if (node->nlink == 0 && node->named)
        return -ENOENT;
    struct node *existing;
    r = node_child(directory, name, &existing);
    if (r != -ENOENT)
        return r < 0 ? r : -EEXIST;
    r = add_name(directory, name, node);
    if (r == 0)
        touch(node, false);
    return r;
}

int session_link(struct node *node, struct node *directory, const char *name)
{
    AUTO_END_CHANGE struct session *changing = begin_change(directory->session);
    return link_held(node, directory, name);
}

static int remove_held(struct node *directory, const char *name, bool want_directory)
{
    struct node *node;
    int r = find_here(directory, name, &node);
    if (r < 0)
        return r;
    if (node_is_directory(node) != want_directory)
        return want_directory ? -ENOTDIR : -EISDIR;
    if (want_directory && node->directory->live > 0)
        return -ENOTEMPTY;
    struct dentry *whiteout;
    r = directory_prepare(directory->directory, name, &whiteout);
    if (r < 0)
        return r;
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    frame.frees = true;
    frame_add_unlink(&frame, directory->number, name);
    r = session_record(directory->session, &frame);
    if (r < 0) {
        free(whiteout);
        return r;
    }
    hide_name(directory, whiteout);
    if (want_directory)
        count_subdirectory(directory, -1);
    lose_link(node);
    return 0;
}

int session_unlink(struct node *directory, const char *name)
{
    AUTO_END_CHANGE struct session *changing = begin_change(directory->session);
    return remove_held(directory, name, false);
}

int session_rmdir(struct node *directory, const char *name)
{
    AUTO_END_CHANGE struct session *changing = begin_change(directory->session);
    return remove_held(directory, name, true);
}

/* ---- rename ---- */

struct renaming {
    struct node *from;
    const char *from_name;
    struct node *to;
    const char *to_name;
    struct node *node;
    struct node *other; /* the node that has the new name, or NULL */
    bool exchange;
};

/* Whether `place` is the directory or below it. */
static bool is_within(const struct node *place, const struct node *directory)
{
    for (; place; place = place->parent)
        if (place == directory)
            return true;
    return false;
}

static int check_rename(struct renaming *renaming, unsigned flags)
{
    int r = node_child(renaming->from, renaming->from_name, &renaming->node);
    if (r < 0)
        return r;
    r = node_child(renaming->to, renaming->to_name, &renaming->other);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r < 0)
        renaming->other = NULL;
    if (renaming->other && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!renaming->other && renaming->exchange)
        return -ENOENT;
    if (node_is_directory(renaming->node) && is_within(renaming->to, renaming->node))
        return -EINVAL;
    if (!renaming->other || renaming->other == renaming->node)
        return 0;
    if (renaming->exchange) {
        bool loop =
            node_is_directory(renaming->other) && is_within(renaming->from, renaming->other);
        return loop ? -EINVAL : 0;
    }
    if (node_is_directory(renaming->other) != node_is_directory(renaming->node))
        return node_is_directory(renaming->other) ? -EISDIR : -ENOTDIR;
    if (node_is_directory(renaming->other) && renaming->other->directory->live > 0)
        return -ENOTEMPTY;
    return 0;
}

static int record_rename(const struct renaming *renaming)
{
    AUTO_FRAME struct frame frame;
    frame_init(&frame);
    if (renaming->exchange)
        frame_add_link(&frame, renaming->from->number, renaming->from_name,
                       renaming->other->number);
    else
        frame_add_unlink(&frame, renaming->from->number, renaming->from_name);
    frame_add_link(&frame, renaming->to->number, renaming->to_name, renaming->node->number);
    return session_record(renaming->from->session, &frame);
}

static void move_directory(struct node *node, struct node *from, struct node *to)
{
    if (!node_is_directory(node) || from == to)
        return;
    node->parent = to;
    count_subdirectory(from, -1);
    count_subdirectory(to, 1);
}

static void apply_rename(const struct renaming *renaming, struct dentry *from_dentry,
                         struct dentry *to_dentry)
{
    struct node *node = renaming->node;
    struct node *other = renaming->other;
    node->changed = true;
    show_name(renaming->to, to_dentry, node);
    if (renaming->exchange) {
        other->changed = true;
        show_name(renaming->from, from_dentry, other);
        move_directory(other, renaming->to, renaming->from);
        touch(other, false);
    } else {
        hide_name(renaming->from, from_dentry);
    }
    move_directory(node, renaming->from, renaming->to);
    touch(node, false);
    if (other && !renaming->exchange) {
        if (node_is_directory(other))
            count_subdirectory(renaming->to, -1);
        lose_link(other);
    }
}

static int rename_held(struct renaming *renaming, unsigned flags)
{
    int r = check_place(renaming->from, renaming->from_name);
    if (r == 0)
        r = check_place(renaming->to, renaming->to_name);
    if (r == 0 && renaming->from->session != renaming->to->session)
        r = -EXDEV;
    if (r == 0)
        r = check_rename(renaming, flags);
    if (r < 0 || renaming->other == renaming->node)
        return r; /* two names of one file: rename(2) does nothing */
    struct dentry *from_dentry;
    struct dentry *to_dentry;
    r = directory_prepare(renaming->from->directory, renaming->from_name, &from_dentry);
    if (r < 0)
        return r;
    r = directory_prepare(renaming->to->directory, renaming->to_name, &to_dentry);
    if (r == 0) {
        r = record_rename(renaming);
        if (r < 0)
            free(to_dentry);
    }
    if (r < 0) {
        free(from_dentry);
        return r;
    }
    apply_rename(renaming, from_dentry, to_dentry);
    return 0;
}

int session_rename(struct node *from, const char *from_name, struct node *to, const char *to_name,
                   unsigned flags)
{
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    struct renaming renaming = {
        .from = from,
        .from_name = from_name,
        .to = to,
        .to_name = to_name,
        .exchange = flags & RENAME_EXCHANGE,
    };
    AUTO_END_CHANGE struct session *changing = begin_change(from->session);
    return rename_held(&renaming, flags);
}

/* ---- listing ---- */

static uint64_t entry_ino(const struct node *directory, uint32_t entry)
{
    return directory->session->serial << 32 | (NODE_FIRST_ENTRY + entry);
}

/* Names that the session created, newest first. */
static bool list_added(const struct directory *names, uint64_t cookie, session_visitor *visit,
                       void *context)
{
    for (uint32_t i = cookies_after(&names->added, cookie); i-- > 0;) {
        const struct dentry *dentry = (const struct dentry *)names->added.listed.items[i];
        if (!visit(dentry->name, node_ino(dentry->node), dentry->node->type, dentry->cookie.value,
                   context))
            return false;
    }
    return true;
}

/* Names of the template that still exist. */
static void list_lower(const struct node *directory, uint64_t cookie, session_visitor *visit,
                       void *context)
{
    const struct directory *names = directory->directory;
    const struct lower *tree = directory->session->lower;
    uint32_t first = directory_lower_cookie(names, 0);
    for (uint64_t position = cookie < first ? 0 : cookie - first + 1; position < names->lower_count;
         position++) {
        uint32_t entry = lower_child(tree, names->entry, (uint32_t)position);
        uint32_t own = directory_lower_cookie(names, (uint32_t)position);
        const struct dentry *dentry = directory_find(names, lower_name(tree, entry));
        if (dentry && dentry->cookie.value != own)
            continue; /* removed; if it was created again, list_added() shows it */
        uint64_t ino = dentry ? node_ino(dentry->node) : entry_ino(directory, entry);
        mode_t type =
            dentry ? dentry->node->type : lower_entry_type(directory->session->lower, entry);
        if (!visit(lower_name(tree, entry), ino, type, own, context))
            return;
    }
}

void session_readdir(struct node *directory, uint64_t cookie, session_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&directory->session->names);
    if (directory->nlink == 0)
        return;
    const struct node *parent = directory->parent ? directory->parent : directory;
    if (cookie < COOKIE_SELF && !visit(".", node_ino(directory), S_IFDIR, COOKIE_SELF, context))
        return;
    if (cookie < COOKIE_PARENT && !visit("..", node_ino(parent), S_IFDIR, COOKIE_PARENT, context))
        return;
    if (list_added(directory->directory, cookie, visit, context))
        list_lower(directory, cookie, visit, context);
}
