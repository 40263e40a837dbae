/*
 * Every Nth call fails, once and from then on, until nothing fails: a call that fails leaves things
 * as they were, in memory and after a restart; others notice nothing; and it works afterwards.
 *
 * A test gives scenes, each a call in a session "s", which is run so with its failures.
 */
#ifndef MINTFS_TESTS_SUPPORT_FAULTS_H
#define MINTFS_TESTS_SUPPORT_FAULTS_H

#include "tests/unit/support.h"

enum { FAULT_SAMPLES = 7 };
extern const struct sample fault_samples[FAULT_SAMPLES];

struct world {
    struct place *place;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root; /* of the session "s", in which things fail */
};

struct scene {
    const char *name;
    /* Creates what exists before; the session "s" already exists. */
    void (*prepare)(struct world *world);
    /* The call that is to fail. */
    int (*act)(struct world *world);
    /* A call may fail when it is partly done: the result is then neither old nor new. */
    bool may_stop_halfway;
    /* It is the same afterwards, whatever happens. */
    bool changes_nothing;
    /* Where even the undoing fails, which of the two it is shows after a restart. */
    bool may_be_in_doubt;
};

void run_scene(struct place *place, const struct scene *scene);

/* The scratch; closing gives the root back. */
void fault_open(struct world *world);
void fault_close(struct world *world);
/* The session, and the one called "fresh" that may be to take its place. */
void fault_discard(struct world *world);

/* Writes to "large", below 40000 bytes. */
int write_large(struct world *world, size_t size, uint64_t offset);
/* Every second block is already stored: what is overwritten in place is written last. */
void store_some(struct world *world);

#endif
