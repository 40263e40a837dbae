/*
 * mintfs.conf of the current directory: one [NAME] section a template.
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
 * it, and the key may be repeated. The builder's lines are split into words (fs/store/words.h),
 * which make one command together. `as` is what --as says. No other file is searched for.
 *
 * Read by hand and not by inih: that cuts lines at 200 bytes and section names at 49 without a
 * word, takes what follows " ;" in a command for a comment, and tells no line numbers.
 */
#ifndef MINTFS_STORE_CONF_H
#define MINTFS_STORE_CONF_H

#include "fs/base/cleanup.h"
#include "fs/store/spec.h"

#define CONF_FILE "mintfs.conf"

/*
 * Fills a spec from the section of that name; with NULL from the only one. Its root is the current
 * directory, its name the section's. Errors are said, with file and line: -ENOENT no such file or
 * section, -EINVAL what makes no sense, or several sections and no name.
 */
MUST_CHECK int conf_read(const char *section_or_null, struct build_spec **ret_spec);

#endif
