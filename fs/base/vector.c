#include "fs/base/vector.h"

#include <stdint.h>

enum { CAPACITY_MIN = 8 };

int vector_grow(void **items, size_t *capacity, size_t count, size_t more, size_t size)
{
    if (more > SIZE_MAX - count)
        return -ENOMEM;
    size_t needed = count + more;
    if (needed <= *capacity)
        return 0;
    size_t room = *capacity > SIZE_MAX / 2 ? SIZE_MAX : *capacity * 2;
    if (room < CAPACITY_MIN)
        room = CAPACITY_MIN;
    if (room < needed)
        room = needed;
    void *grown = reallocarray(*items, room, size);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = room;
    return 0;
}
