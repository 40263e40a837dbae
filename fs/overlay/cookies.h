/*
 * The order in which readdir(3) shows the names of a directory that changes while it is read.
 *
 * The mount keeps no state for an open directory: a reader's position is the cookie of the entry
 * that it read last, and it is shown the entries with greater cookies. A new name gets a cookie
 * below all others here, so that it comes before every position that a reader has: a program that
 * creates or renames entries while it reads the directory reaches the end. An entry that takes
 * another's place takes its cookie as well, so that a name which exists all the while is shown
 * exactly once.
 *
 * Cookies are below 2^31, for readers whose off_t has 32 bits. When they are used up, after some two
 * billion new names in one directory, all are given out again, in the same order; readers that are
 * under way then see some names a second time.
 *
 * Not safe from several threads: the caller's lock guards it.
 */
#ifndef MINTFS_OVERLAY_COOKIES_H
#define MINTFS_OVERLAY_COOKIES_H

#include <stdint.h>

#include "fs/base/cleanup.h"

/* 1 and 2 are "." and "..". */
enum { COOKIE_SELF = 1, COOKIE_PARENT = 2, COOKIE_FIRST = 3 };
#define COOKIE_LAST ((uint32_t)INT32_MAX)

/* The first member of what the caller lists. */
struct cookie {
    uint32_t value;
};

struct cookies {
    struct cookie **listed; /* by value, the greatest and oldest first */
    uint32_t count;
    uint32_t room;
    uint32_t end; /* all values are below it */
    uint32_t next;
};

/* `above` values at the end of the range are left to the caller. */
void cookies_init(struct cookies *cookies, uint32_t above);
/* What was listed is the caller's. */
void cookies_fini(struct cookies *cookies);

/* Makes room, so that this many calls of cookies_add() cannot fail. -ENOMEM, -ENOSPC. */
MUST_CHECK int cookies_reserve(struct cookies *cookies, uint32_t more);
/* Lists it with a cookie below all others. */
void cookies_add(struct cookies *cookies, struct cookie *cookie);
/* Lists it with the cookie of one that is listed, which no longer is. */
void cookies_replace(struct cookies *cookies, const struct cookie *old, struct cookie *cookie);
void cookies_remove(struct cookies *cookies, const struct cookie *cookie);

/*
 * How many come after that position; listed[0] to listed[count - 1], which are read from the last
 * to the first.
 */
uint32_t cookies_after(const struct cookies *cookies, uint64_t position);

#endif
