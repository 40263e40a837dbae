/*
 * mintfs.conf: one section [NAME] for each template. fs/store/project_conf_find.h finds the file.
 *
 *     [unit]
 *     # a comment has a line of its own, since ; and # are common in commands
 *     input   = migrations
 *               models/[a-z]*.py
 *     exclude = *.md
 *     env     = APP_SEED
 *     salt    = 2
 *     file    = app.db
 *     builder = python3 create_db.py {out}
 *
 * Each line of input, exclude and env is one value; an indented line continues the key above it,
 * and a key may be repeated. The builder's lines are split into words (fs/base/shell_words.h),
 * which together are one command. `as` is the text of --as.
 *
 * Paths are relative to the file's directory, in which the builder runs. `root` is a directory
 * above it that contains all inputs: with `root = ..` an input may be ../shared/migrations. A
 * `root` before the first section is that of all sections. Without one, the file's directory is the
 * root.
 *
 * mintfs does not use inih, which silently cuts lines at 200 bytes and section names at 49, takes
 * what follows " ;" in a command for a comment, and reports no line numbers.
 */
#ifndef MINTFS_STORE_PROJECT_CONF_H
#define MINTFS_STORE_PROJECT_CONF_H

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/project_conf_find.h"

/* What the command line adds to a section. */
struct project_conf_request {
    const char *section; /* or NULL: the only one */
    const char *root;    /* replaces the section's, relative to the current directory; or NULL */
};

/*
 * Makes a spec from a section of the file in force, with the section's name. Errors are logged,
 * with file and line: -ENOENT no such file or section; -EINVAL a fault in the file, or several
 * sections and no name; and those of project_conf_find().
 */
MUST_CHECK int project_conf_read(const struct project_conf_request *request,
                                 struct build_spec **ret_spec);

/* The same for a section that may be missing, as may the file: 1 if it exists, else 0. */
MUST_CHECK int project_conf_look(const char *section, struct build_spec **ret_spec);

#endif
