#include "fs/overlay/changelog_format.h"

#include <zlib.h>

uint32_t frame_checksum(uint64_t owner, uint64_t offset, const void *bytes, size_t size)
{
    uLong crc = owner ? crc32_z(0, (const Bytef *)&owner, sizeof(owner)) : 0;
    crc = crc32_z(crc, (const Bytef *)&offset, sizeof(offset));
    return (uint32_t)crc32_z(crc, bytes, size);
}
