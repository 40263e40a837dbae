/*
 * The order in which readdir(3) shows the names of a directory that changes while it is read.
 *
 * The mount keeps no state for an open directory: a reader's position is the cookie of the entry
 * that it read last, and the reader gets the entries with greater cookies. A new name gets a cookie
 * below all others in the directory, so it comes before the position of every reader: a program
 * that creates or renames entries while it reads the directory reaches its end. An entry that
 * replaces another one takes over its cookie, so a name that exists throughout is shown exactly
 * once.
 *
 * Cookies are below 2^31, for readers whose off_t has 32 bits. When they are used up, after about
 * two billion new names in one directory, all entries are numbered again in the same order; a
 * program that is reading the directory then sees some names twice.
 *
 * Not safe from several threads: the caller's lock guards it.
 */
#ifndef MINTFS_OVERLAY_COOKIES_H
#define MINTFS_OVERLAY_COOKIES_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/vector.h"

/* 1 and 2 are "." and "..". */
enum { COOKIE_SELF = 1, COOKIE_PARENT = 2, COOKIE_FIRST = 3 };
#define COOKIE_LAST ((uint32_t)INT32_MAX)

/* The first member of each struct that the caller lists. */
struct cookie {
    uint32_t value;
};

struct cookies {
    VECTOR(struct cookie *) listed; /* by value, greatest (oldest) first */
    uint32_t end;                   /* all values are below it */
    uint32_t next;
};

/* Begins empty. The caller assigns the `above` greatest values itself. */
void cookies_init(struct cookies *cookies, uint32_t above);
/* The listed structs belong to the caller. */
void cookies_fini(struct cookies *cookies);

/* Makes room so that this many calls of cookies_add() cannot fail. -ENOMEM, -ENOSPC. */
MUST_CHECK int cookies_reserve(struct cookies *cookies, uint32_t more);
/* Adds it with a value below all others. */
void cookies_add(struct cookies *cookies, struct cookie *cookie);
/* Puts `cookie` in the place of `old`, with its value. */
void cookies_replace(struct cookies *cookies, const struct cookie *old, struct cookie *cookie);
void cookies_remove(struct cookies *cookies, const struct cookie *cookie);

/*
 * The number of entries after that position. They are listed.items[0] to
 * listed.items[number - 1], and are read from the last to the first.
 */
uint32_t cookies_after(const struct cookies *cookies, uint64_t position);

#endif
