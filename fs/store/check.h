/*
 * Checks a store: templates against their manifests, the catalog against the templates, and
 * leftovers of builds; and repairs it.
 */
#ifndef MINTFS_STORE_CHECK_H
#define MINTFS_STORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/gc_evict.h"
#include "fs/store/store.h"

enum check_problem {
    CHECK_DAMAGED,    /* a template; what is wrong with it has been logged */
    CHECK_UNREADABLE, /* a template of a later mintfs, or one that cannot be read; logged */
    CHECK_UNKNOWN,    /* a template that the catalog lacks */
    CHECK_GONE,       /* a template that the catalog has, and the store does not */
    CHECK_NAME,       /* a name whose template is gone */
    CHECK_STALE,      /* a catalog row that differs from the manifest or from the pin */
    CHECK_LEFTOVER,   /* an entry of v1/building whose builder has ended */
    CHECK_FOREIGN,    /* templates that another user owns and that cannot be read; logged */
};

struct check_finding {
    enum check_problem problem;
    const char *what; /* a key; for CHECK_NAME the name, for CHECK_LEFTOVER the entry */
    const char *key;  /* the key; NULL for CHECK_LEFTOVER */
    bool is_repaired;
    enum gc_outcome outcome; /* CHECK_DAMAGED, with `repair`: whether the template was evicted */
};
typedef void check_visitor(const struct check_finding *finding, void *context);

struct check_options {
    const struct strlist *keys; /* check only these templates; NULL: the whole store */
    bool contents;              /* compare the contents of files, not only their sizes */
    bool repair;
    gc_uses *uses; /* templates that are in use are not evicted */
    check_visitor *report;
    void *context; /* for `report` */
};

struct check_result {
    size_t templates;
    uint64_t read_bytes;
    size_t problems;
    size_t unrepaired;
};

/* Reports each problem to the visitor. Problems are no error; errors are logged. */
MUST_CHECK int check_store(const struct store *store, const struct check_options *options,
                           struct check_result *ret_result);

#endif
