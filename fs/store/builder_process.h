/*
 * A builder's process, and all that it starts, under a guard that outlives nobody.
 *
 *     mintfs build ── guard ── builder ── ...
 *
 * The guard is a fork of mintfs that adopts orphans (PR_SET_CHILD_SUBREAPER). When mintfs dies,
 * however it dies, the guard ends everything below it, and with that frees what locks it shares.
 * When somebody kills the guard alone, mintfs adopts what it leaves, and ends that.
 * The builder has a process group of its own; signals that reach mintfs are passed on to it.
 */
#ifndef MINTFS_STORE_BUILDER_PROCESS_H
#define MINTFS_STORE_BUILDER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

struct builder {
    pid_t guard;
    int fd;          /* to the guard; -1: none */
    char *others;    /* children that mintfs had before, as when it was started by an exec */
    bool was_reaper; /* it adopted orphans before */
    int signal;      /* that ended the builder, once it was waited for; 0: it exited */
};
#define BUILDER_INIT                                                                               \
    {                                                                                              \
        .guard = -1, .fd = -1                                                                      \
    }

enum { RUN_CANNOT_RUN = 126, RUN_NOT_FOUND = 127 };

/*
 * Starts the program argv[0] (found as a shell would) in the directory (NULL: the current one), with
 * standard input from /dev/null and both outputs on our standard error, and the variables
 * "NAME=value" of `environment` added. Errors are logged.
 */
struct builder_command {
    char **argv;
    char *const *environment;
    const char *directory;
};
MUST_CHECK int builder_start(const struct builder_command *command, struct builder *ret_builder);

/*
 * Waits for the end of the builder, called `program` in messages. *ret_status is its exit code, 128
 * + n after signal n; 126 or 127 (said) where it could not be run. -EINTR: a signal came
 * (fs/base/interrupt.h) and the builder is gone: it got the signal, and SIGKILL after a grace, or
 * at the second signal.
 */
MUST_CHECK int builder_wait(struct builder *builder, const char *program, int *ret_status);

/* Lets the guard go. What the builder has left running is ended, or with `spare` left alone. */
void builder_end(struct builder *builder, bool spare);

#endif
