/*
 * The roster of a scratch without a daemon: the template and the ID of each session in it, in one
 * file, so that a command that looks for one session need not read the logs of all.
 *
 * The daemon removes it when it opens the scratch, and writes it when it closes it. A killed daemon
 * leaves none, and one that does not fit the logs is no roster: then the logs are read. It also has
 * the length of each log, so that the next daemon can report one that was cut.
 *
 *     mintfs-roster-1 CHECK BOOT-ID SECONDS.NANOSECONDS
 *     KEY ID SERIAL LENGTH                               a line for each session
 *
 * CHECK is the CRC-32 of all that follows it, and the time that of the last change to the directory
 * of the logs.
 */
#ifndef MINTFS_OVERLAY_ROSTER_H
#define MINTFS_OVERLAY_ROSTER_H

#include <stdint.h>
#include <stdio.h>

#include "fs/base/cleanup.h"

/* ---- writing, by the daemon ---- */

MUST_CHECK int roster_remove(int scratch_fd);

struct roster_line {
    const char *key;
    const char *id;
    uint64_t serial;
    uint64_t log_size_bytes;
};

struct roster {
    FILE *stream;
    char *text;
    size_t size;
};
MUST_CHECK int roster_begin(const char *boot_id, int logs_fd, struct roster *ret_roster);
void roster_add(struct roster *roster, const struct roster_line *line);
/* Puts it in place, unsynced. Whatever the answer, the roster is done with. */
MUST_CHECK int roster_finish(struct roster *roster, int scratch_fd);

/* ---- reading ---- */

typedef int roster_visitor(const struct roster_line *line, void *context);
/*
 * Calls visit for each session; its first non-zero answer is *ret_answer, else that is 0. -ENOENT:
 * there is no roster that could be relied on. With logs_fd -1 it may be that logs came or went since.
 */
MUST_CHECK int roster_each(int scratch_fd, int logs_fd, const char *boot_id, roster_visitor *visit,
                           void *context, int *ret_answer);

#endif
