/*
 * The roster of a scratch that no daemon has open: one file with the template and ID of each
 * session, so that a command that looks for a session does not have to read all logs.
 *
 * The daemon removes it when it opens the scratch and writes it when it closes the scratch. A
 * killed daemon leaves none, and a roster that does not match the logs is ignored: then the logs
 * are read. It also has the length of each log, so that the next daemon can report a log that was
 * truncated.
 *
 *     mintfs-roster-1 CHECK BOOT-ID SECONDS.NANOSECONDS
 *     KEY ID SERIAL LENGTH                               a line for each session
 *
 * CHECK is the CRC-32 of everything after it. The time is that of the last change to the directory
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
/* Writes the file, without a sync. The roster is freed, also on an error. */
MUST_CHECK int roster_finish(struct roster *roster, int scratch_fd);

/* ---- reading ---- */

typedef int roster_visitor(const struct roster_line *line, void *context);
/*
 * Calls visit for each session until it returns non-zero. *ret_answer is the last value that it
 * returned, or 0. -ENOENT: there is no valid roster. With logs_fd -1 a roster is valid even if logs
 * have been added or removed since.
 */
MUST_CHECK int roster_each(int scratch_fd, int logs_fd, const char *boot_id, roster_visitor *visit,
                           void *context, int *ret_answer);

#endif
