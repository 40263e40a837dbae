/*
 * What a template is to be built from: inputs, environment, builder. Filled from the command line
 * or from a section of mintfs.conf (fs/store/project_conf.h), in the same way for `key`, `build`,
 * `explain` and `session new`.
 */
#ifndef MINTFS_STORE_BUILD_SPEC_H
#define MINTFS_STORE_BUILD_SPEC_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

struct build_spec {
    char *root;              /* absolute, without symbolic links; NULL: not set yet */
    char *root_as_typed;     /* absolute, as the user typed it, for arguments that begin with it */
    char *base;              /* what inputs are relative to, below root; NULL: root itself */
    char *directory;         /* absolute: where the builder runs; NULL: the current directory */
    struct strlist inputs;   /* paths and patterns, relative to base, or absolute inside root */
    struct strlist excludes; /* patterns; those with a slash are relative to base */
    struct strlist env;      /* names of variables */
    struct strlist builder;  /* program and arguments */
    char *salt;              /* or NULL */
    char *file;              /* or NULL: SPEC_DEFAULT_FILE */
    char *as;                /* replaces the arguments in the key; or NULL */
    char *name;              /* or NULL */
};

#define SPEC_DEFAULT_FILE "app.db"

/* Empty; NULL when out of memory. */
MUST_CHECK struct build_spec *build_spec_new(void);
void build_spec_free(struct build_spec *spec);
void build_spec_freep(struct build_spec **spec);
#define AUTO_SPEC CLEANUP(build_spec_freep)

/* The template's database: spec->file or the default. */
const char *build_spec_file(const struct build_spec *spec);

/* Sets the root: `path`, relative to the current directory, or NULL for that directory itself.
 * Errors are logged. */
MUST_CHECK int build_spec_set_root(struct build_spec *spec, const char *path);

/* Checks the name, the file, the variables and the builder. -EINVAL, logged. */
MUST_CHECK int build_spec_check(const struct build_spec *spec);

#endif
