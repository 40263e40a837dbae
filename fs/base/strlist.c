#include "fs/base/strlist.h"

#include <string.h>

#include "fs/base/vector.h"

int strlist_take(struct strlist *list, char *text)
{
    if (!text)
        return -ENOMEM;
    if (vector_reserve(list, 2) < 0) {
        free(text);
        return -ENOMEM;
    }
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return 0;
}

int strlist_add(struct strlist *list, const char *text)
{
    return strlist_take(list, strdup(text));
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strlist_sort(struct strlist *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

bool strlist_contains(const struct strlist *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->items[i], text))
            return true;
    return false;
}

void strlist_fini(struct strlist *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strlist)STRLIST_INIT;
}

void strv_free(char **vector)
{
    for (size_t i = 0; vector && vector[i]; i++)
        free(vector[i]);
    free(vector);
}

size_t strv_length(char *const *vector)
{
    size_t length = 0;
    while (vector && vector[length])
        length++;
    return length;
}

char **strv_copy(char *const *vector)
{
    size_t length = strv_length(vector);
    char **copy = calloc(length + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < length; i++) {
        copy[i] = strdup(vector[i]);
        if (!copy[i]) {
            strv_free(copy);
            return NULL;
        }
    }
    return copy;
}
