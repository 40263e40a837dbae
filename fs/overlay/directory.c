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
    directory->next_cookie = (uint64_t)COOKIE_FIRST + directory->base_count;
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
    free(directory->made);
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
        r = reserve(&directory->made, directory->made_count, &directory->made_room);
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

bool directory_is_made(const struct directory *directory, const struct dentry *dentry)
{
    return dentry->cookie >= (uint64_t)COOKIE_FIRST + directory->base_count;
}

/* The position of the first made entry whose cookie is at least this. */
static uint32_t made_place(const struct directory *directory, uint64_t cookie)
{
    uint32_t low = 0;
    uint32_t high = directory->made_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (directory->made[middle]->cookie < cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void unlist_made(struct directory *directory, const struct dentry *dentry)
{
    if (!dentry->node || !directory_is_made(directory, dentry))
        return;
    uint32_t place = made_place(directory, dentry->cookie);
    directory->made_count--;
    memmove(directory->made + place, directory->made + place + 1,
            (directory->made_count - place) * sizeof(struct dentry *));
}

void directory_set(struct directory *directory, struct dentry *dentry, struct node *node,
                   uint64_t cookie)
{
    dentry->node = node;
    dentry->cookie = cookie;
    if (node && !cookie) {
        dentry->cookie = directory->next_cookie++;
        directory->made[directory->made_count++] = dentry;
    }
    bool found;
    uint32_t place = place_of(directory, dentry->name, &found);
    if (found) {
        unlist_made(directory, directory->by_name[place]);
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
    unlist_made(directory, directory->by_name[place]);
    free(directory->by_name[place]);
    directory->count--;
    memmove(directory->by_name + place, directory->by_name + place + 1,
            (directory->count - place) * sizeof(struct dentry *));
}
