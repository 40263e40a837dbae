/*
 * The time by which the age of templates is measured.
 *
 * One wrong reading of the clock, as on a virtual machine that has just been resumed, must not make
 * every template old. A reading more than a day from the last accepted one is in doubt until
 * another, an hour to a year later, confirms it; until then no template gets older. So a cache that
 * was not used for a month is cleared by the second command, not by the first.
 */
#ifndef MINTFS_STORE_AGE_H
#define MINTFS_STORE_AGE_H

#include <stdbool.h>
#include <stdint.h>

/* Stored in the catalog. */
struct age_clock {
    int64_t accepted_ns; /* the last reading that was accepted; 0: none yet */
    int64_t doubted_ns;  /* a reading in doubt that awaits confirmation; 0: none */
};

#define AGE_JUMP_NS ((int64_t)24 * 3600 * 1000000000)

struct age_reading {
    int64_t use_ns;   /* the time to record for a use of a template */
    int64_t now_ns;   /* ages are measured at this time; a later use counts as a use now */
    bool is_in_doubt; /* the reading was not accepted */
};

/* Judges a reading of the clock, and updates *clock for the next one. */
struct age_reading age_read(struct age_clock *clock, int64_t now_ns);

#endif
