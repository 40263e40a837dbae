/*
 * Binary search in anything that is sorted and can be reached by an index.
 */
#ifndef MINTFS_BASE_SEARCH_H
#define MINTFS_BASE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the item with this index is before what is searched for. */
typedef bool search_is_before(size_t index, const void *context);

/*
 * The first index in [begin, end) whose item is not before; `end` if all are. Always inlined, so
 * that a test that is a static function of the caller costs no call.
 */
static inline __attribute__((always_inline)) size_t
lower_bound(size_t begin, size_t end, search_is_before *is_before, const void *context)
{
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (is_before(middle, context))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

#endif
