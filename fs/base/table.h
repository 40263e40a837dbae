/*
 * Hash tables: uthash (https://troydhanson.github.io/uthash/), set up the same everywhere. Only
 * this header includes it.
 */
#ifndef MINTFS_BASE_TABLE_H
#define MINTFS_BASE_TABLE_H

/* The default function falls through its cases without a word, which compilers warn of. */
#define HASH_FUNCTION HASH_FNV

#include <uthash.h>

#endif
