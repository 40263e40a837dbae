/*
 * mintfs.conf: one [NAME] section a template. Which file is in force: fs/store/project_conf_find.h.
 *
 *     [unit]
 *     # a comment; lines of comment alone, since ; and # are common in commands
 *     input   = migrations
 *               models/[a-z]*.py
 *     exclude = *.md
 *     env     = APP_SEED
 *     salt    = 2
 *     file    = app.db
 *     builder = python3 create_db.py {out}
 *
 * Of input, exclude and env each line is one value; an indented line goes on with the key above
 * it, and the key may be repeated. The builder's lines are split into words (fs/base/shell_words.h),
 * which make one command together. `as` is what --as says.
 *
 * Paths are relative to the file's directory, where the builder runs as well. `root` is a directory
 * above it, below which inputs may be: with `root = ..` an input may be ../shared/migrations. Before the
 * first section it is that of all sections. Without it, the file's directory is the root.
 *
 * Read by hand and not by inih: that cuts lines at 200 bytes and section names at 49 without a
 * word, takes what follows " ;" in a command for a comment, and tells no line numbers.
 */
#ifndef MINTFS_STORE_PROJECT_CONF_H
#define MINTFS_STORE_PROJECT_CONF_H

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/project_conf_find.h"

/* What the command line adds to a section. */
struct project_conf_request {
    const char *section; /* or NULL: the only one */
    const char *root;    /* in place of the section's, relative to the current directory; or NULL */
};

/*
 * Fills a spec from a section of the file in force; its name is the section's. Errors are logged, with
 * file and line: -ENOENT no such file or section, -EINVAL what makes no sense, or several sections and
 * no name; and those of project_conf_find().
 */
MUST_CHECK int project_conf_read(const struct project_conf_request *request,
                                 struct build_spec **ret_spec);

/* 1: the same for a section that may be missing, as may the file: 0. Errors are logged. */
MUST_CHECK int project_conf_look(const char *section, struct build_spec **ret_spec);

#endif
