/*
 * Integers inside file formats, at any address.
 */
#ifndef MINTFS_BASE_BYTES_H
#define MINTFS_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t bytes_get_be32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return be32toh(value);
}

static inline uint32_t bytes_get_le32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return le32toh(value);
}

#endif
