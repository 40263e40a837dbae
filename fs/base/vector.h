/*
 * Arrays that grow. A vector of any type is a struct with three members, zeroed when empty:
 *
 *     VECTOR(struct row) rows = {0};
 *     if (vector_push(&rows, row) < 0)
 *         return -ENOMEM;
 *     for (size_t i = 0; i < rows.count; i++)
 *         use(&rows.items[i]);
 *     vector_fini(&rows);
 *
 * It owns the array, and not what its items point to.
 */
#ifndef MINTFS_BASE_VECTOR_H
#define MINTFS_BASE_VECTOR_H

#include <stddef.h>

#include "fs/base/cleanup.h"

#define VECTOR(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
        size_t capacity;                                                                           \
    }

/* Makes room for `more` items after those that there are. 0, or -ENOMEM and nothing has changed. */
#define vector_reserve(vector, more)                                                               \
    vector_grow((void **)&(vector)->items, &(vector)->capacity, (vector)->count, (more),           \
                sizeof(__typeof__(*(vector)->items)))

/* Appends a copy of the item. 0, or -ENOMEM and nothing has changed. */
#define vector_push(vector, item)                                                                  \
    ({                                                                                             \
        __auto_type vector_ = (vector);                                                            \
        int reserved_ = vector_reserve(vector_, 1);                                                \
        if (reserved_ == 0)                                                                        \
            vector_->items[vector_->count++] = (item);                                             \
        reserved_;                                                                                 \
    })

/* Frees the array; the vector is then empty. */
#define vector_fini(vector)                                                                        \
    ({                                                                                             \
        __auto_type vector_ = (vector);                                                            \
        free(vector_->items);                                                                      \
        vector_->items = NULL;                                                                     \
        vector_->count = vector_->capacity = 0;                                                    \
    })

/* What vector_reserve() calls: the array doubles when it is full. */
MUST_CHECK int vector_grow(void **items, size_t *capacity, size_t count, size_t more, size_t size);

#endif
