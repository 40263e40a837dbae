/*
 * Fault injection: runs a call with its Nth system call failing, for each N, with one failure or
 * with all later calls failing, too. A call that fails must leave its session unchanged, in memory
 * and after a restart; other sessions must not change; and the call must work afterwards.
 *
 * A test defines scenes, each of which is one call in a session "s".
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
    struct node *root; /* of the session "s", in which calls fail */
};

struct scene {
    const char *name;
    /* Creates what exists before; the session "s" already exists. */
    void (*prepare)(struct world *world);
    /* The call that is to fail. */
    int (*act)(struct world *world);
    /* A call may fail when it is partly done: the result is then neither old nor new. */
    bool may_stop_halfway;
    /* The session is the same afterwards, whether the call succeeds or fails. */
    bool changes_nothing;
    /* If undoing fails, too, only a restart shows whether the session is old or new. */
    bool may_be_in_doubt;
};

void run_scene(struct place *place, const struct scene *scene);

/* Opens the scratch; closing it also releases the root. */
void fault_open(struct world *world);
void fault_close(struct world *world);
/* The session "s", and the session "fresh", which may replace it. */
void fault_discard(struct world *world);

/* Writes to "large", below 40000 bytes. */
int write_large(struct world *world, size_t size, uint64_t offset);
/* Every second block is already stored: what is overwritten in place is written last. */
void store_some(struct world *world);

#endif
