/*
 * Reads the catalog's templates and names. Errors are logged.
 */
#ifndef MINTFS_STORE_CATALOG_LIST_H
#define MINTFS_STORE_CATALOG_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"

struct catalog;

/* Visits each name in order; stops at the first result that is not zero, and returns it. */
typedef int catalog_name_visitor(const char *name, const char *key, void *context);
MUST_CHECK int catalog_each_name(struct catalog *catalog, catalog_name_visitor *visit,
                                 void *context);

struct catalog_row {
    char key[SHA256_HEX_LENGTH + 1];
    char *file;    /* valid while the row is visited, as are the next three */
    char *names;   /* in order, separated by spaces; "": none */
    char *label;   /* the name at its build; "": none */
    char *made_by; /* the builder's command */
    uint64_t size_bytes;
    uint64_t file_count;
    int64_t created_ns;
    int64_t build_time_ns;
    int64_t last_used_ns;
    int64_t saved_ns;
    int64_t hits;
    bool pinned;
    bool verified;
};

/* Visits each template, the one used last first; stops as above. */
typedef int catalog_visitor(const struct catalog_row *row, void *context);
MUST_CHECK int catalog_each(struct catalog *catalog, catalog_visitor *visit, void *context);

/* Copies a row with its strings; catalog_row_fini() frees them. -ENOMEM. */
MUST_CHECK int catalog_row_copy(const struct catalog_row *row, struct catalog_row *ret_copy);
void catalog_row_fini(struct catalog_row *row);

/* Whether the template has the name, or had it when it was built. */
bool catalog_row_has_name(const struct catalog_row *row, const char *name);

#endif
