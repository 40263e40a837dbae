/*
 * Processes, identified across PID namespaces.
 *
 * A PID is a number in one PID namespace, and it is reused. A process_id adds what is needed to
 * recognise the process later, or to notice that it cannot be seen from here. It is valid until the
 * next boot (boot_read_id()), since the initial namespaces have the same numbers after each boot.
 */
#ifndef MINTFS_BASE_PROCESS_H
#define MINTFS_BASE_PROCESS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

struct process_id {
    int32_t pid;    /* 0: none */
    uint64_t start; /* clock ticks since boot (proc(5), stat), as its time namespace counts them */
    uint64_t pid_namespace; /* st_ino of /proc/self/ns/pid; 0: not known */
    uint64_t time_namespace;
};

enum process_state {
    PROCESS_GONE,
    PROCESS_LIVES,
    PROCESS_UNSEEN, /* it belongs to a namespace that cannot be seen from here */
};

/*
 * Identifies the process that has this number in the caller's namespace. -ESRCH: there is none;
 * -EXDEV: /proc shows another namespace, as after unshare --pid without --mount-proc.
 */
MUST_CHECK int process_identify(int pid, struct process_id *ret_id);

/* PROCESS_GONE only if that is certain. A zombie counts as gone. */
enum process_state process_look(const struct process_id *id);

/*
 * Translates `pid` from the namespace of the thread `caller` to the number in this process's own
 * namespace. `caller` is a number of this namespace, or 0 if it has none here. -EXDEV: the caller's
 * namespace cannot be seen from here; -ESRCH: it contains no such process.
 */
MUST_CHECK int process_translate(int caller, int pid, int *ret_pid);

enum { BOOT_ID_SIZE = 36 };

/* The ID of the present boot, with a NUL. Errors are logged. */
MUST_CHECK int boot_read_id(char ret_boot_id[BOOT_ID_SIZE + 1]);

#endif
