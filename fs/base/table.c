#include "fs/base/table.h"

#include <stdlib.h>

#include "fs/base/io.h"

void *table_allocate(size_t size)
{
    return io_fault_hits() ? NULL : malloc(size);
}
