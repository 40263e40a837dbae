/*
 * What templates/ and sessions/ list: the keys and names of the store, in an order that holds while
 * templates are built and evicted.
 *
 * The store is read when a reader begins (or rewinds); what is new then comes before every position
 * that was handed out (fs/overlay/cookies.h). A reader that goes on is answered from memory, so
 * that a listing of many templates reads the store once. Safe from several threads.
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

/* Entries after the position `cookie`, as session_readdir(); without "." and "..". */
MUST_CHECK int listing_readdir(struct listing *listing, uint64_t cookie, session_visitor *visit,
                               void *context);

#endif
