/*
 * Hash tables: uthash (https://troydhanson.github.io/uthash/), set up the same everywhere. Only
 * this header includes it.
 */
#ifndef MINTFS_BASE_HASH_H
#define MINTFS_BASE_HASH_H

#include <stddef.h>

/*
 * Without memory uthash would end the process by default. Here HASH_ADD and its kin leave out the
 * element: HASH_ADDED() tells, after each of them.
 */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) hash_allocate(size)
#define HASH_ADDED(element) ((element)->hh.tbl != NULL)
void *hash_allocate(size_t size);

/* The default function falls through its cases without a word, which compilers warn of. */
#define HASH_FUNCTION HASH_FNV

#include <uthash.h>

#endif
