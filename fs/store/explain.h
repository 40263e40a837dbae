/*
 * Why a template is not there: what its key is made of, against the nearest template of that name.
 */
#ifndef MINTFS_STORE_EXPLAIN_H
#define MINTFS_STORE_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/key.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

struct difference {
    const char *kind;   /* "input", "variable", "argument", "salt", "file" */
    const char *change; /* "added", "removed", "changed": from the nearest to what is asked for */
    char *what;         /* owned: the input's path, the variable's name, the argument */
};

struct explanation {
    char nearest[SHA256_HEX_LENGTH + 1]; /* "": no template of that name, or none at all */
    int64_t created_ns;                  /* of the nearest */
    struct difference *items;            /* inputs first, by path */
    size_t count;
};

/*
 * Compares with the templates that have, or had at their build, the spec's name (without one: with
 * all), as far as they were used lately; the nearest has the fewest differences. The values of
 * variables are never told.
 */
MUST_CHECK int explain(const struct store *store, const struct build_spec *spec,
                       const struct key *key, struct explanation *ret_explanation);
void explanation_fini(struct explanation *explanation);
#define AUTO_EXPLANATION CLEANUP(explanation_fini)

/* How a spec and its key differ from a manifest. */
MUST_CHECK int explain_against(const struct build_spec *spec, const struct key *key,
                               const struct manifest *manifest,
                               struct explanation *ret_explanation);

/* One line for people: "input a.sql changed, 2 inputs added". NULL when out of memory. */
char *explanation_line(const struct explanation *explanation);

/* Says in one line why a build is needed; for build.c. */
void explain_miss(const struct store *store, const struct build_spec *spec, const struct key *key);

#endif
