/*
 * A growing list of strings that it owns; `items` is NULL-terminated, or NULL while empty.
 */
#ifndef MINTFS_BASE_STRLIST_H
#define MINTFS_BASE_STRLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

struct strlist {
    char **items;
    size_t count;
    size_t capacity;
};
#define STRLIST_INIT                                                                               \
    {                                                                                              \
        .items = NULL                                                                              \
    }

/* Appends a copy of the text. -ENOMEM. */
MUST_CHECK int strlist_add(struct strlist *list, const char *text);
/* Appends the text itself and owns it, even where this fails. */
MUST_CHECK int strlist_take(struct strlist *list, char *text);

/* As bytes, ascending. */
void strlist_sort(struct strlist *list);
bool strlist_contains(const struct strlist *list, const char *text);

void strlist_fini(struct strlist *list);
#define AUTO_STRLIST CLEANUP(strlist_fini)

/* Frees a NULL-terminated vector and its strings; NULL is fine. */
void strv_free(char **vector);
/* A copy of a NULL-terminated vector (NULL: an empty one); NULL when out of memory. */
MUST_CHECK char **strv_copy(char *const *vector);
size_t strv_length(char *const *vector);

#endif
