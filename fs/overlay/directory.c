#include "fs/overlay/directory.h"

#include <string.h>

#include "fs/base/search.h"

int directory_new(struct lower *lower, uint32_t entry, struct directory **ret_directory)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    if (!directory)
        return -ENOMEM;
    directory->lower = lower;
    directory->entry = entry;
    if (entry != LOWER_NONE)
        directory->lower_count = lower_child_count(lower, entry);
    directory->live = directory->lower_count;
    cookies_init(&directory->added, directory->lower_count);
    *ret_directory = directory;
    return 0;
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    for (size_t i = 0; i < directory->by_name.count; i++)
        free(directory->by_name.items[i]);
    vector_fini(&directory->by_name);
    cookies_fini(&directory->added);
    free(directory);
}

struct search {
    struct dentry *const *by_name;
    const char *name;
};

static bool is_before(size_t index, const void *context)
{
    const struct search *search = context;
    return strcmp(search->by_name[index]->name, search->name) < 0;
}

/* The index of the name, or where it would be inserted. */
static size_t place_of(const struct directory *directory, const char *name, bool *ret_found)
{
    struct search search = {.by_name = directory->by_name.items, .name = name};
    size_t place = lower_bound(0, directory->by_name.count, is_before, &search);
    *ret_found =
        place < directory->by_name.count && !strcmp(directory->by_name.items[place]->name, name);
    return place;
}

struct dentry *directory_find(const struct directory *directory, const char *name)
{
    bool found;
    size_t place = place_of(directory, name, &found);
    return found ? directory->by_name.items[place] : NULL;
}

uint32_t directory_lower_entry(const struct directory *directory, const char *name)
{
    return directory->entry == LOWER_NONE ? LOWER_NONE
                                          : lower_lookup(directory->lower, directory->entry, name);
}

int directory_prepare(struct directory *directory, const char *name, struct dentry **ret_dentry)
{
    int r = vector_reserve(&directory->by_name, 2);
    if (r == 0)
        r = cookies_reserve(&directory->added, 2);
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

uint32_t directory_lower_cookie(const struct directory *directory, uint32_t position)
{
    return directory->added.end + position;
}

static bool is_added(const struct directory *directory, const struct dentry *dentry)
{
    return dentry->node && dentry->cookie.value < directory->added.end;
}

/* The cookie of a name without an entry here; 0 if the template does not have it. */
static uint32_t untouched_cookie(const struct directory *directory, const char *name)
{
    uint32_t entry = directory_lower_entry(directory, name);
    return entry == LOWER_NONE
               ? 0
               : directory_lower_cookie(directory, lower_position(directory->lower, entry));
}

/* `old` is the entry that had this name, or NULL. */
static void set_cookie(struct directory *directory, struct dentry *dentry, const struct dentry *old)
{
    bool was_added = old && is_added(directory, old);
    if (!dentry->node) {
        dentry->cookie.value = 0;
        if (was_added)
            cookies_remove(&directory->added, &old->cookie);
    } else if (was_added) {
        cookies_replace(&directory->added, &old->cookie, &dentry->cookie);
    } else {
        dentry->cookie.value = old ? old->cookie.value : untouched_cookie(directory, dentry->name);
        if (dentry->cookie.value == 0)
            cookies_add(&directory->added, &dentry->cookie);
    }
}

static void set(struct directory *directory, struct dentry *dentry, struct node *node, bool made)
{
    bool found;
    size_t place = place_of(directory, dentry->name, &found);
    struct dentry **slot = directory->by_name.items + place;
    struct dentry *old = found ? *slot : NULL;
    dentry->node = node;
    dentry->made = made;
    set_cookie(directory, dentry, old);
    if (!found) {
        memmove(slot + 1, slot, (directory->by_name.count - place) * sizeof(struct dentry *));
        directory->by_name.count++;
    }
    *slot = dentry;
    free(old);
}

void directory_set_made(struct directory *directory, struct dentry *dentry, struct node *node)
{
    set(directory, dentry, node, true);
}

void directory_set_lower(struct directory *directory, struct dentry *dentry, struct node *node)
{
    set(directory, dentry, node, false);
}

void directory_forget(struct directory *directory, const char *name)
{
    bool found;
    size_t place = place_of(directory, name, &found);
    if (!found)
        return;
    struct dentry **slot = directory->by_name.items + place;
    struct dentry *dentry = *slot;
    if (is_added(directory, dentry))
        cookies_remove(&directory->added, &dentry->cookie);
    free(dentry);
    directory->by_name.count--;
    memmove(slot, slot + 1, (directory->by_name.count - place) * sizeof(struct dentry *));
}

void directory_hide(struct directory *directory, struct dentry *dentry)
{
    if (directory_lower_entry(directory, dentry->name) != LOWER_NONE) {
        set(directory, dentry, NULL, false);
    } else {
        directory_forget(directory, dentry->name);
        free(dentry);
    }
}
