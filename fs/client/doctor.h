/*
 * What works on this machine, and what to do where something does not: the checks of `mintfs
 * doctor`.
 *
 *     doctor_machine.c   the kernel, FUSE, and what a container allows of them
 *     doctor_catalog.c   the catalog
 *     doctor_owners.c    files in the store that belong to another user
 *     doctor_store.c     HOME, the store, mounts, and the backend that follows from everything
 *
 * A check adds one finding or more. It changes nothing unless `fix` is set, and then only what is
 * ours: a mode in the store, a dead mount, a missing store, a damaged catalog.
 */
#ifndef MINTFS_CLIENT_DOCTOR_H
#define MINTFS_CLIENT_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/vector.h"

enum finding_level {
    FINDING_OK,
    FINDING_HINT, /* works, but could be better */
    FINDING_BAD,  /* something will fail */
};

struct finding {
    enum finding_level level;
    const char *check; /* static */
    char *text;        /* owned */
    char *command;     /* what to type, owned; NULL: nothing */
    bool fixed;        /* by --fix, just now */
};

struct doctor {
    bool fix;
    VECTOR(struct finding) findings; /* in the order of the checks */
    bool out_of_memory;

    /* Results of earlier checks, for later ones. */
    bool is_root;
    bool in_container;
    bool can_mount;
    bool mounts_itself;       /* by mount(2); else through fusermount3 */
    char *no_mount_why;       /* owned; where !can_mount */
    char *store_path;         /* owned; NULL where no setting names one */
    char *mounted_at;         /* owned; NULL: not mounted */
    const char *preference;   /* the setting MINTFS_BACKEND, static; NULL: it is invalid */
    uint64_t fuse_from_bytes; /* from this size on a template gets a mount; UINT64_MAX: never */
};

/* Adds a finding. The text is a clause without a full stop; `command`, or NULL, is copied. */
void doctor_add(struct doctor *doctor, enum finding_level level, const char *check,
                const char *command, const char *format, ...) PRINTF_LIKE(5, 6);
/* Adds what was wrong and has just been fixed. */
void doctor_add_fixed(struct doctor *doctor, const char *check, const char *format, ...)
    PRINTF_LIKE(3, 4);
void doctor_fini(struct doctor *doctor);

void doctor_check_machine(struct doctor *doctor);
/* After doctor_check_machine(). */
void doctor_check_store(struct doctor *doctor);

/* Parts of doctor_check_store(), for a store that exists at doctor->store_path. */
void doctor_check_owners(struct doctor *doctor);
void doctor_check_catalog(struct doctor *doctor);

#endif
