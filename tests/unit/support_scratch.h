/*
 * Helpers of the tests of whole scratches: a scratch with a template, and sessions that differ by
 * a mark.
 */
#ifndef MINTFS_TESTS_SUPPORT_SCRATCH_H
#define MINTFS_TESTS_SUPPORT_SCRATCH_H

#include "tests/unit/support.h"

/* The template has d/, d/e/, d/e/f, d/g, the link `link`, and a file `large` of this size. */
enum { LARGE = 300001 };

struct world {
    struct place *place;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    int logs_fd;
};

void world_begin(struct world *world, struct place *place);
void world_reopen(struct world *world);
/* Opens it, again or after scratch_close(); returns the text that was logged. */
char *world_open_logged(struct world *world);
char *world_reopen_logged(struct world *world);
/* Builds its template again while no scratch is open; `otherwise`: with another byte in d/g. */
void world_rebuild_template(const struct world *world, bool otherwise);
void world_end(struct world *world);

bool has_session(const struct world *world, const char *id);
uint64_t serial_of(const struct world *world, const char *id);
/* The same as in the header of its log. */
uint64_t owner_of(const struct world *world, const char *id);
/* The IDs in the order of a listing, each followed by a space. */
void check_listing(const struct world *world, const char *expected);
/* Creates a session with the mark in `large` and a file named after the mark. */
void make_marked(const struct world *world, const char *id, const char *mark);
void check_marked(const struct world *world, const char *id, const char *mark);
void discard(const struct world *world, const char *id);
/* The sum over all sessions. */
uint64_t stored_bytes(const struct world *world);

void log_name(char name[32], uint64_t serial);
void read_boot_id(char ret_boot_id[37]);

#endif
