/*
 * The change log of one session: all that must outlive a killed daemon, but for the blocks' bytes.
 *
 * Append-only frames of records over stable node numbers, on top of the template's manifest, which
 * is the tree at time zero. The layout stands in changelog_format.h. A frame is one system
 * call and has one checksum: what belongs together (a rename's two names) is in one frame. A torn
 * tail is dropped. When the log has grown to twice its size after the last compaction, the session
 * writes itself anew (session_compact()).
 *
 * Order is what makes it safe: a block's bytes are written before the record that shows it, and
 * the record that lets go of a block is written before the block is given to others. Nothing is
 * synced: the page cache outlives the daemon, and sessions need not outlive the machine.
 */
#ifndef MINTFS_OVERLAY_CHANGELOG_H
#define MINTFS_OVERLAY_CHANGELOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/changelog_record.h"

struct changelog;

/* A log's file name: the session's serial in hexadecimal digits. */
enum { LOG_NAME_LENGTH = 16 };
void changelog_fill_name(char ret_name[LOG_NAME_LENGTH + 1], uint64_t serial);
bool changelog_name_is_valid(const char *name);

/* Makes the log NAME below dirfd with a first frame, both at once (NAME.new until then); dirfd stays
 * the caller's. -EEXIST. */
MUST_CHECK int changelog_create(int dirfd, const char *name, const struct frame *first,
                                struct changelog **ret_log);
/*
 * Opens one that is there, cut to `size_bytes`, what changelog_replay() returned, for appending; the
 * owner is that of its header, 0 for a log of an older version, which stays one until it is replaced.
 */
MUST_CHECK int changelog_open(int dirfd, const char *name, uint64_t owner, uint64_t size_bytes,
                              struct changelog **ret_log);
/* Removes the file: recovery finds the session no more. */
MUST_CHECK int changelog_unlink(struct changelog *log);
void changelog_close(struct changelog *log);

/* One frame, whole or not at all: what a failed one left is cut off, at the latest before the next.
 * Safe from several threads. */
MUST_CHECK int changelog_append(struct changelog *log, const struct frame *frame);

uint64_t changelog_size(struct changelog *log);
/* Whether the log is worth a compaction. */
bool changelog_is_long(struct changelog *log);
/* Replaces the log by this one frame, which says all. Nobody may append meanwhile. */
MUST_CHECK int changelog_replace(struct changelog *log, const struct frame *whole);

/* For a session that idles: closes the descriptor until the next append if very many are open. */
void changelog_rest(struct changelog *log);

#endif
