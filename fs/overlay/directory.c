#include "fs/overlay/directory.h"

#include <string.h>

int directory_new(struct base *base_tree, uint32_t base, struct directory **ret_directory)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    if (!directory)
        return -ENOMEM;
    directory->base_tree = base_tree;
    directory->base = base;
    if (base != BASE_NONE)
        directory->base_count = base_child_count(base_tree, base);
    directory->live = directory->base_count;
    directory->next_cookie = directory_first_added(directory);
    *ret_directory = directory;
    return 0;
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    for (uint32_t i = 0; i < directory->count; i++)
        free(directory->by_name[i]);
    free(directory->by_name);
    free(directory->added);
    free(directory);
}

/* Where the name is, or where it belongs. */
static uint32_t place_of(const struct directory *directory, const char *name, bool *ret_found)
{
    uint32_t low = 0;
    uint32_t high = directory->count;
    *ret_found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, directory->by_name[middle]->name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct dentry *directory_find(const struct directory *directory, const char *name)
{
    bool found;
    uint32_t place = place_of(directory, name, &found);
    return found ? directory->by_name[place] : NULL;
}

bool directory_in_base(const struct directory *directory, const char *name)
{
    return directory->base != BASE_NONE &&
           base_lookup(directory->base_tree, directory->base, name) != BASE_NONE;
}

static int reserve(struct dentry ***entries, uint32_t count, uint32_t *room)
{
    if (count + 2 <= *room)
        return 0;
    uint32_t larger = *room ? *room * 2 : 4;
    struct dentry **grown = realloc(*entries, larger * sizeof(struct dentry *));
    if (!grown)
        return -ENOMEM;
    *entries = grown;
    *room = larger;
    return 0;
}

int directory_prepare(struct directory *directory, const char *name, struct dentry **ret_dentry)
{
    int r = reserve(&directory->by_name, directory->count, &directory->room);
    if (r == 0)
        r = reserve(&directory->added, directory->added_count, &directory->added_room);
    if (r < 0)
        return r;
    size_t length = strlen(name) + 1;
    struct dentry *dentry = calloc(1, sizeof(*dentry) + length);
    if (!dentry)
        return -ENOMEM;
    memcpy(dentry->name, name, length);
    *ret_dentry = dentry;
    return 0;
}

uint64_t directory_first_added(const struct directory *directory)
{
    return (uint64_t)COOKIE_FIRST + directory->base_count;
}

/* The position of the first added entry whose cookie is at least this. */
static uint32_t added_place(const struct directory *directory, uint64_t cookie)
{
    uint32_t low = 0;
    uint32_t high = directory->added_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (directory->added[middle]->cookie < cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The cookie of a name that the template has; 0 for others. */
static uint64_t base_cookie(const struct directory *directory, const char *name)
{
    uint32_t entry = directory->base == BASE_NONE
                         ? BASE_NONE
                         : base_lookup(directory->base_tree, directory->base, name);
    return entry == BASE_NONE ? 0
                              : (uint64_t)COOKIE_FIRST + base_position(directory->base_tree, entry);
}

void directory_set(struct directory *directory, struct dentry *dentry, struct node *node, bool made)
{
    bool found;
    uint32_t place = place_of(directory, dentry->name, &found);
    dentry->node = node;
    dentry->made = made;
    dentry->cookie =
        found ? directory->by_name[place]->cookie : base_cookie(directory, dentry->name);
    if (dentry->cookie == 0) {
        dentry->cookie = directory->next_cookie++;
        directory->added[directory->added_count++] = dentry;
    } else if (dentry->cookie >= directory_first_added(directory)) {
        directory->added[added_place(directory, dentry->cookie)] = dentry;
    }
    if (found) {
        free(directory->by_name[place]);
    } else {
        memmove(directory->by_name + place + 1, directory->by_name + place,
                (directory->count - place) * sizeof(struct dentry *));
        directory->count++;
    }
    directory->by_name[place] = dentry;
}

void directory_forget(struct directory *directory, const char *name)
{
    bool found;
    uint32_t place = place_of(directory, name, &found);
    if (!found)
        return;
    uint64_t cookie = directory->by_name[place]->cookie;
    if (cookie >= directory_first_added(directory)) {
        uint32_t at = added_place(directory, cookie);
        directory->added_count--;
        memmove(directory->added + at, directory->added + at + 1,
                (directory->added_count - at) * sizeof(struct dentry *));
    }
    free(directory->by_name[place]);
    directory->count--;
    memmove(directory->by_name + place, directory->by_name + place + 1,
            (directory->count - place) * sizeof(struct dentry *));
}
