#include "fs/base/vector.h"

#include <stdint.h>

enum { CAPACITY_MIN = 8 };

int vector_grow(void **items, size_t *capacity, size_t count, size_t more, size_t size)
{
    size_t most = SIZE_MAX / size;
    if (count > most || more > most - count)
        return -ENOMEM;
    size_t needed = count + more;
    if (needed <= *capacity)
        return 0;
    size_t room = *capacity > most / 2 ? needed : *capacity * 2;
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
