#include "fs/store/links.h"

#include <limits.h>
#include <string.h>

#include "fs/base/log.h"

enum { HOPS_MAX = 40, STEPS_MIN = 1 << 16, STEPS_PER_ENTRY = 64 };

struct walk {
    const struct manifest *manifest;
    size_t steps_left;   /* over all walks: hostile links could take for ever */
    char at[PATH_MAX];   /* the current directory, without links; "" is the root */
    char rest[PATH_MAX]; /* what is still to walk */
};

/* Puts the link's target in place of the link. */
static int follow(struct walk *walk, const char *target)
{
    char rest[PATH_MAX];
    if (target[0] == '/')
        return -EXDEV;
    int length = snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest);
    if (length < 0 || (size_t)length >= sizeof(rest))
        return -ENAMETOOLONG;
    memcpy(walk->rest, rest, (size_t)length + 1);
    return 0;
}

static int go_up(struct walk *walk)
{
    if (!walk->at[0])
        return -EXDEV;
    char *slash = strrchr(walk->at, '/');
    *(slash ? slash : walk->at) = '\0';
    return 0;
}

/* Removes the first part from walk->rest; false: nothing is left, or *ret_error is set. */
static bool take_part(struct walk *walk, char part[NAME_MAX + 1], int *ret_error)
{
    const char *begin = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(begin, "/");
    if (length > NAME_MAX) {
        *ret_error = -ENAMETOOLONG;
        return false;
    }
    memcpy(part, begin, length);
    part[length] = '\0';
    memmove(walk->rest, begin + length, strlen(begin + length) + 1);
    return length > 0;
}

/* Goes to the entry NAME of walk->at. */
static int step(struct walk *walk, const char *name, unsigned *hops,
                const struct manifest_entry **entry)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s%s", walk->at, walk->at[0] ? "/" : "", name);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    *entry = manifest_find(walk->manifest, path);
    if (!*entry)
        return -ENOENT;
    if ((*entry)->type == ENTRY_SYMLINK)
        return ++*hops > HOPS_MAX ? -ELOOP : follow(walk, (*entry)->target);
    if ((*entry)->type == ENTRY_FILE)
        return walk->rest[strspn(walk->rest, "/")] ? -ENOTDIR : 0;
    memcpy(walk->at, path, (size_t)length + 1);
    return 0;
}

/*
 * Follows the path as the kernel does. -EXDEV: it leads out; -ENOENT, -ENOTDIR, -ELOOP: it leads
 * nowhere; -ENAMETOOLONG, -E2BIG: unknown. *ret_entry is the entry at its end.
 */
static int walk_along(struct walk *walk, const char *path, const struct manifest_entry **ret_entry)
{
    const struct manifest_entry *entry = NULL;
    char part[NAME_MAX + 1];
    unsigned hops = 0;
    int r = 0;
    walk->at[0] = '\0';
    (void)snprintf(walk->rest, sizeof(walk->rest), "%s", path);
    while (r == 0 && take_part(walk, part, &r)) {
        if (walk->steps_left-- == 0)
            return -E2BIG;
        if (!strcmp(part, ".."))
            r = go_up(walk);
        else if (strcmp(part, ".") != 0)
            r = step(walk, part, &hops, &entry);
        if (!strcmp(part, "..") || !strcmp(part, "."))
            entry = walk->at[0] ? manifest_find(walk->manifest, walk->at) : NULL;
    }
    *ret_entry = entry;
    return r;
}

static void walk_init(struct walk *walk, const struct manifest *manifest)
{
    walk->manifest = manifest;
    walk->steps_left = STEPS_MIN + STEPS_PER_ENTRY * manifest->entry_count;
}

const struct manifest_entry *links_find_escape(const struct manifest *manifest)
{
    struct walk walk;
    const struct manifest_entry *end;
    walk_init(&walk, manifest);
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (entry->type != ENTRY_SYMLINK)
            continue;
        int r = walk_along(&walk, entry->path, &end);
        if (r == -EXDEV || r == -ENAMETOOLONG || r == -E2BIG)
            return entry;
    }
    return NULL;
}

int links_check(const struct manifest *manifest, const char *shown_path)
{
    const struct manifest_entry *out = links_find_escape(manifest);
    return out ? log_fail(EBADMSG,
                          "%s/files/%s -> %s: a symbolic link that leads out of the template: the "
                          "template is damaged",
                          shown_path, out->path, out->target)
               : 0;
}

const struct manifest_entry *links_resolve(const struct manifest *manifest, const char *path)
{
    struct walk walk;
    const struct manifest_entry *entry = NULL;
    walk_init(&walk, manifest);
    return walk_along(&walk, path, &entry) == 0 ? entry : NULL;
}
