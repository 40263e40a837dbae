/*
 * Why a template is missing: how its key's parts differ from the nearest template of that name.
 */
#ifndef MINTFS_STORE_EXPLAIN_H
#define MINTFS_STORE_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/key.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

struct difference {
    const char *kind;   /* "input", "variable", "argument", "salt", "file" */
    const char *change; /* "added", "removed", "changed": from the nearest to the wanted one */
    char *what;         /* owned: the input's path, the variable's name, the argument */
};

struct explanation {
    char nearest[SHA256_HEX_LENGTH + 1]; /* "": no template of that name, or none at all */
    int64_t created_ns;                  /* of the nearest */
    struct difference *items;            /* inputs first, by path */
    size_t count;
    size_t capacity; /* as in VECTOR() */
};

/*
 * Compares with the templates that have the spec's name or had it when they were built (without a
 * name: with all), but only with the 50 used last; the nearest is the one with the fewest
 * differences. The values of variables are not part of the result.
 */
MUST_CHECK int explain(const struct store *store, const struct build_spec *spec,
                       const struct key *key, struct explanation *ret_explanation);
void explanation_fini(struct explanation *explanation);
#define AUTO_EXPLANATION CLEANUP(explanation_fini)

/* How the parts of a spec's key differ from a manifest. */
MUST_CHECK int explain_against(const struct build_spec *spec, const struct key *key,
                               const struct manifest *manifest,
                               struct explanation *ret_explanation);

/* A line for a message: "input a.sql changed, input b.sql added and 3 more". NULL when out of
 * memory; the caller frees it. */
char *explanation_line(const struct explanation *explanation);

/* Logs in one line why a build is needed. */
void explain_miss(const struct store *store, const struct build_spec *spec, const struct key *key);

#endif
