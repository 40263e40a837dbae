/*
 * Patterns for paths: "*", "?" and "[a-z]" match within one component, "**" matches any number of
 * components, and a backslash makes the next character literal. As in a shell, wildcards do not
 * match a leading dot.
 *
 * Matching takes at most time proportional to the product of the lengths of pattern and text.
 */
#ifndef MINTFS_BASE_GLOB_H
#define MINTFS_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

enum { GLOB_PARTS_MAX = 63 };

/* A pattern, split at its slashes. */
struct glob {
    char *text; /* owned; the parts point into it */
    const char *parts[GLOB_PARTS_MAX];
    size_t count;
};

/*
 * How far a path has matched a pattern: bit i is set if the parts before i match the path so far,
 * and bit `count` if the whole pattern does.
 */
typedef unsigned long long glob_state;

/* Whether the text contains a wildcard or a backslash. */
bool glob_is_pattern(const char *text);

/* -EINVAL, not logged: an empty or ".." part, more than GLOB_PARTS_MAX parts, an open bracket. */
MUST_CHECK int glob_compile(const char *text, struct glob *ret_glob);
void glob_fini(struct glob *glob);

glob_state glob_start(const struct glob *glob);
/* The state after one more component of the path; 0: nothing below it can match. */
glob_state glob_step(const struct glob *glob, glob_state state, const char *part);
bool glob_is_match(const struct glob *glob, glob_state state);

/* Whether a whole relative path matches. */
bool glob_matches(const struct glob *glob, const char *path);

/* Whether one component of a path matches one part of a pattern. */
bool glob_part_matches(const char *pattern, const char *text);

#endif
