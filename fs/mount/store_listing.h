/*
 * The entries of templates/ and sessions/: the keys and names of the store, in an order that does
 * not change while templates are built and evicted.
 *
 * The store is read when a reader begins or rewinds; new entries are placed before every position
 * that was handed out (fs/overlay/cookies.h). A reader that continues is served from memory, so
 * that listing many templates reads the store once. Safe from several threads.
 */
#ifndef MINTFS_MOUNT_STORE_LISTING_H
#define MINTFS_MOUNT_STORE_LISTING_H

#include <stdint.h>

#include "fs/overlay/dirops.h"
#include "fs/store/store.h"

struct listing;

/* The store is borrowed. */
MUST_CHECK int listing_new(const struct store *store, struct listing **ret_listing);
void listing_free(struct listing *listing);

/* Visits entries as session_readdir() does, but without "." and "..". */
MUST_CHECK int listing_readdir(struct listing *listing, uint64_t cookie, session_visitor *visit,
                               void *context);

#endif
