/*
 * What gc.c and gc_evict.c share: the candidates for eviction, copied from the catalog, and
 * evicting a batch of them: lock all, ask which are in use, move them aside, then remove their
 * files.
 */
#ifndef MINTFS_STORE_GC_BATCH_H
#define MINTFS_STORE_GC_BATCH_H

#include "fs/base/lock.h"
#include "fs/store/catalog_list.h"
#include "fs/store/gc_outcome.h"
#include "fs/store/store.h"

struct candidate {
    struct catalog_row row; /* owns its strings */
    int64_t used_ns;        /* the last use, by the catalog or a daemon's lock */
    bool is_counted;        /* counts for the limits: it has the given name, if any */
    bool is_kept;           /* by `keep` */
    bool is_done;           /* `outcome` is set */
    enum gc_outcome outcome;
};

struct candidates {
    struct candidate *items;
    size_t count;
    size_t capacity; /* as in VECTOR() */
};

/* Reconciles the catalog with the store and reads all templates, the one used last first. Errors
 * but -ENOMEM are logged. */
MUST_CHECK int gc_candidates_read(const struct store *store, struct candidates *all);
void gc_candidates_fini(struct candidates *all);

/* Appends a copy; a catalog_visitor. */
MUST_CHECK int gc_candidates_add(const struct catalog_row *row, void *all);

/* Borrowed, or NULL. */
struct candidate *gc_candidates_find(const struct candidates *all, const char *key);

enum {
    /* How many are locked at a time, with a descriptor each. Their names in locks/ and building/
     * fit into a directory's first block: a full disk has no second one. */
    BATCH = 32,
    ASIDE_SIZE = SHA256_HEX_LENGTH + 16,
};

struct held {
    struct candidate *candidate; /* borrowed; its outcome is set */
    struct lock use;
    bool is_unlocked;       /* the disk had no room for the lock: see move_aside() */
    char aside[ASIDE_SIZE]; /* its name in building/; "": not moved */
};

struct batch {
    const struct store *store;
    struct held held[BATCH];
    size_t count;
};

/* Adds a candidate, borrowed, to a batch that has fewer than BATCH. */
void gc_batch_add(struct batch *batch, struct candidate *candidate);
void gc_batch_fini(struct batch *batch);

/* Borrowed, or NULL. */
struct held *gc_batch_find(struct batch *batch, const char *key);

enum gc_batch_mode {
    GC_BATCH_DRY_RUN, /* decides, and evicts nothing */
    GC_BATCH_UNUSED,  /* evicts what nobody has used since its row was read */
    GC_BATCH_FORCED,  /* evicts also what was used since then */
};

/* Evicts the candidates that may be evicted, and sets each candidate's outcome. Errors are logged.
 */
MUST_CHECK int gc_batch_evict(struct batch *batch, gc_uses *uses, enum gc_batch_mode mode);

#endif
