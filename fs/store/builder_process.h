/*
 * Runs a builder below a guard, which kills the builder and every process that it has started if
 * mintfs dies.
 *
 *     mintfs build ── guard ── builder ── ...
 *
 * The guard is a fork of mintfs that adopts orphans (PR_SET_CHILD_SUBREAPER). When mintfs dies,
 * however that happens, the guard kills everything below it, and so frees the locks that it shares.
 * When the guard alone is killed, mintfs adopts what was below it, and kills that. The builder has
 * a process group of its own; signals that mintfs receives are passed on to it.
 */
#ifndef MINTFS_STORE_BUILDER_PROCESS_H
#define MINTFS_STORE_BUILDER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

struct builder {
    pid_t guard;
    int fd;        /* connects to the guard; -1: none */
    char *earlier; /* the PIDs of children that mintfs had already, for instance before an exec */
    bool was_subreaper; /* mintfs adopted orphans before */
    int signal;         /* the signal that ended the builder, set by builder_wait(); 0: it exited */
};
#define BUILDER_INIT                                                                               \
    {                                                                                              \
        .guard = -1, .fd = -1                                                                      \
    }

/* The exit codes of env(1) for a program that cannot be run. */
enum { RUN_CANNOT_RUN = 126, RUN_NOT_FOUND = 127 };

struct builder_command {
    char **argv;              /* argv[0] is searched in PATH, as by a shell */
    char *const *environment; /* variables to add, "NAME=value" */
    const char *directory;    /* NULL: the current one */
};

/*
 * Starts the builder with /dev/null as standard input and with this process's standard error for
 * both outputs. Errors are logged.
 */
MUST_CHECK int builder_start(const struct builder_command *command, struct builder *ret_builder);

/*
 * Waits until the builder, called `program` in messages, has ended. *ret_status is its exit code,
 * or 128 + n after signal n; 126 or 127, logged, if it could not be run. -EINTR: a signal came
 * (fs/base/interrupt.h); the builder was sent the same signal, and is killed by builder_end() if it
 * has not ended within 5 seconds or before a second signal.
 */
MUST_CHECK int builder_wait(struct builder *builder, const char *program, int *ret_status);

/* Ends the guard and kills every process that the builder has left running. */
void builder_end(struct builder *builder);
#define AUTO_BUILDER CLEANUP(builder_end)

/* Ends the guard alone: processes that the builder has left, such as a server that others use, keep
 * running. */
void builder_detach(struct builder *builder);

#endif
