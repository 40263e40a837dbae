/*
 * The change log of one session: everything that must survive a killed daemon, except the bytes of
 * its blocks.
 *
 * It is a sequence of frames, which consist of records. Records refer to nodes by numbers that
 * never change, and say what differs from the template. The layout is in changelog_format.h. A
 * frame is written by one system call and has one checksum, so changes that belong together (the
 * two names of a rename) are in one frame. A torn frame at the end is dropped. When the log has
 * grown to twice its size after the last compaction, it is compacted (compact.h).
 *
 * The order of writes makes it safe: a block's bytes are written before the record that adds it to
 * a file, and the record that releases a block before the block is given to another file. Nothing
 * is synced: the page cache survives the daemon, and sessions need not survive a reboot.
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

/*
 * Creates the log NAME below dirfd, with its first frame: it is written as NAME.new and renamed.
 * dirfd is borrowed. -EEXIST.
 */
MUST_CHECK int changelog_create(int dirfd, const char *name, const struct frame *first,
                                struct changelog **ret_log);
/*
 * Opens an existing log for appending, and truncates it to `size_bytes`, which changelog_replay()
 * returned. `owner` is the owner in its header, or 0 for a log of an older version, which keeps
 * that version until it is replaced.
 */
MUST_CHECK int changelog_open(int dirfd, const char *name, uint64_t owner, uint64_t size_bytes,
                              struct changelog **ret_log);
/* Removes the file: recovery no longer finds the session. */
MUST_CHECK int changelog_unlink(struct changelog *log);
void changelog_close(struct changelog *log);

/*
 * Appends one frame, whole or not at all: a part that a failed write left is cut off, at the latest
 * before the next append. Safe from several threads.
 */
MUST_CHECK int changelog_append(struct changelog *log, const struct frame *frame);

uint64_t changelog_size(struct changelog *log);
/* Whether the log is long enough to be worth compacting. */
bool changelog_is_long(struct changelog *log);
/*
 * Replaces the log by this frame, which describes the whole session. No thread may append
 * meanwhile.
 */
MUST_CHECK int changelog_replace(struct changelog *log, const struct frame *whole);

/* For an idle session: closes the descriptor until the next append, if very many logs are open. */
void changelog_rest(struct changelog *log);

#endif
