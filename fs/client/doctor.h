/*
 * mintfs doctor, inside: what is found, in the order of the checks.
 *
 *     doctor_machine.c   the kernel, FUSE, what the container leaves of them
 *     doctor_catalog.c   the catalog
 *     doctor_owners.c    what in the store belongs to another user
 *     doctor_store.c     HOME, the store, mounts, and which backend follows from all that
 *
 * A check says one thing or more with doctor_say(). It changes nothing, unless --fix was given and
 * the change is one of ours: a mode of the store, a dead mount, a store that is missing.
 */
#ifndef MINTFS_CLIENT_DOCTOR_H
#define MINTFS_CLIENT_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

enum finding_level {
    FINDING_OK,
    FINDING_HINT, /* works, and could be better */
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
    struct finding *findings;
    size_t count;
    size_t room;
    bool out_of_memory;

    /* Found on the way, for the checks that come later. */
    bool is_root;
    bool in_container;
    bool can_mount;
    bool mounts_itself;       /* by mount(2); else through fusermount3 */
    char *no_mount_why;       /* owned; where !can_mount */
    char *store_path;         /* owned; NULL where nothing names one */
    char *mounted_at;         /* owned; NULL: not mounted */
    const char *wish;         /* of $MINTFS_BACKEND, static; NULL: it is none */
    uint64_t fuse_from_bytes; /* size from which a new session is a view; UINT64_MAX: never */
};

/* `command`, or NULL, is copied; the text is a clause without a full stop. */
void doctor_say(struct doctor *doctor, enum finding_level level, const char *check,
                const char *command, const char *format, ...) PRINTF_LIKE(5, 6);
/* FINDING_OK, with the mark that it was put right just now. */
void doctor_say_fixed(struct doctor *doctor, const char *check, const char *format, ...)
    PRINTF_LIKE(3, 4);
void doctor_fini(struct doctor *doctor);

/* asprintf(3) for what becomes a command or a note; NULL only where memory is short. */
char *doctor_text(const char *format, ...) PRINTF_LIKE(1, 2);

void doctor_check_machine(struct doctor *doctor);
void doctor_check_store(struct doctor *doctor);
/* Of doctor->store_path. */
void doctor_check_owners(struct doctor *doctor);
/* Of the store, which can be opened. */
void doctor_check_catalog(struct doctor *doctor);

#endif
