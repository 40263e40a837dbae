/*
 * Which reading of the clock the age of templates goes by.
 *
 * One wrong reading, as on a virtual machine that just woke up, must not make every template old. A
 * reading far from the last one that was accepted is in doubt until another, an hour to a year
 * later, agrees with it; until then nothing gets older. A cache that nobody used for a month is so
 * cleared by the second command, not by the first.
 */
#ifndef MINTFS_STORE_AGE_H
#define MINTFS_STORE_AGE_H

#include <stdbool.h>
#include <stdint.h>

/* Kept in the catalog. */
struct age_clock {
    int64_t accepted_ns; /* the last reading that was believed; 0: none yet */
    int64_t doubted_ns;  /* one that was not, and waits for another; 0: none */
};

#define AGE_JUMP_NS ((int64_t)24 * 3600 * 1000000000)

struct age_reading {
    int64_t use_ns;   /* what a use of a template is entered as */
    int64_t now_ns;   /* what ages are counted to; a use after it counts as one at it */
    bool is_in_doubt; /* the clock was not believed */
};

/* Takes a reading of the clock, and notes in *clock what it means for the next one. */
struct age_reading age_read(struct age_clock *clock, int64_t now_ns);

#endif
