/*
 * Eviction's inner part, for gc.c alone: the templates that the catalog has, copied out, and the
 * batch: locks first, then a look at who uses what, then the renames, then the files.
 */
#ifndef MINTFS_STORE_GC_BATCH_H
#define MINTFS_STORE_GC_BATCH_H

#include "fs/base/lock.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog_list.h"
#include "fs/store/gc_fate.h"
#include "fs/store/store.h"

struct candidate {
    struct catalog_row row; /* owns its strings */
    int64_t used_ns;        /* last, as the catalog or a daemon's lock says */
    bool is_counted;        /* for the limits: of the name that was asked for */
    bool is_kept;           /* by `keep` */
    bool is_done;           /* looked at, and `fate` is set */
    enum gc_fate fate;
};

struct candidates {
    struct candidate *items;
    size_t count;
    size_t capacity;
};

/* What the catalog has, once it is in line with the store; the one used last first, by the catalog.
 * Errors are said, but -ENOMEM. */
MUST_CHECK int gc_candidates_read(const struct store *store, struct candidates *all);
void gc_candidates_fini(struct candidates *all);

/* Appends a copy; a catalog_visitor. */
MUST_CHECK int gc_candidates_add(const struct catalog_row *row, void *all);

/* Borrowed, or NULL. */
struct candidate *gc_candidates_find(const struct candidates *all, const char *key);

enum {
    /* Locks are taken for so many at a time: a descriptor each. Their names, and those below
     * building/, fit into a directory's first block: on a full disk there is no second one. */
    BATCH = 32,
    ASIDE_SIZE = SHA256_HEX_LENGTH + 16,
};

struct held {
    struct candidate *candidate; /* whose fate it is */
    struct lock use;
    bool is_unlocked;       /* there was no room for the lock: see move_aside() */
    char aside[ASIDE_SIZE]; /* below building/; "" before it was moved */
};

struct batch {
    const struct store *store;
    struct held held[BATCH];
    size_t count;
};

/* There must be room. */
void gc_batch_add(struct batch *batch, struct candidate *candidate);
void gc_batch_fini(struct batch *batch);

/* Borrowed, or NULL. */
struct held *gc_batch_find(struct batch *batch, const char *key);

enum gc_batch_mode {
    GC_BATCH_DRY_RUN, /* decides, and evicts nothing */
    GC_BATCH_UNUSED,  /* evicts what nobody has used since its row was read */
    GC_BATCH_FORCED,  /* evicts also what was used since then */
};

/* Evicts what it may, and sets each candidate's fate. Errors are logged. */
MUST_CHECK int gc_batch_evict(struct batch *batch, gc_uses *uses, enum gc_batch_mode mode);

#endif
