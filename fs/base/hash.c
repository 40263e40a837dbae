#include "fs/base/hash.h"

#include <stdlib.h>

#include "fs/base/io.h"

void *hash_allocate(size_t size)
{
    return io_fault_hits() ? NULL : malloc(size);
}
