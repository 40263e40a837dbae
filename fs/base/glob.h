/*
 * Patterns over paths: "*" and "?" and "[a-z]" within one part, "**" over any number of parts,
 * backslash before what is meant literally. Wildcards do not match a leading dot, as in a shell.
 *
 * Matching takes time in proportion to the lengths of pattern and text, whatever the pattern.
 */
#ifndef MINTFS_BASE_GLOB_H
#define MINTFS_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

enum { GLOB_PARTS_MAX = 63 };

/* A pattern, cut at its slashes. */
struct glob {
    char *text; /* owned; the parts point into it */
    const char *parts[GLOB_PARTS_MAX];
    size_t count;
};

/*
 * Where a walk stands in a pattern: bit i is set when the parts before i have matched the path so
 * far; bit `count` means that the whole has.
 */
typedef unsigned long long glob_state;

/* Whether the text has a wildcard. */
bool glob_is_pattern(const char *text);

/* -EINVAL, unsaid: an empty or ".." part, more than GLOB_PARTS_MAX parts, an open bracket. */
MUST_CHECK int glob_compile(const char *text, struct glob *ret_glob);
void glob_fini(struct glob *glob);

glob_state glob_start(const struct glob *glob);
/* The state after one more part of the path; 0: nothing below can match. */
glob_state glob_step(const struct glob *glob, glob_state state, const char *part);
bool glob_is_match(const struct glob *glob, glob_state state);

/* The whole relative path at once. */
bool glob_matches(const struct glob *glob, const char *path);

/* One part without slashes against one part of a pattern. */
bool glob_part_matches(const char *pattern, const char *text);

#endif
