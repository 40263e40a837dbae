/*
 * One session: a private tree of files on top of a template.
 *
 * Its directories are changed by dirops.h, its files by file_io.h and fallocate.h, and attributes
 * by attributes.h.
 *
 * All functions are safe from several threads, and none returns with a lock held. Locks, in the
 * order in which they are taken:
 *
 *     scratch              scratch_internal.h
 *     lower cache          lower_cache.h
 *     lower.sessions       lower.c
 *     session.changes      overlay_internal.h
 *     session.names        overlay_internal.h
 *     node.lock            overlay_internal.h
 *     change log           changelog.c
 *     blocks, then owners  blocks.c, owners.c
 *
 * Locks whose comment says "innermost" may be taken while any of these is held.
 */
#ifndef MINTFS_OVERLAY_SESSION_H
#define MINTFS_OVERLAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/cookies.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

struct node;
struct session;

const char *session_id(const struct session *session);
const char *session_key(const struct session *session);
/* Unique among all sessions that the scratch ever had; never 0. */
uint64_t session_serial(const struct session *session);
void session_get_lease(struct session *session, struct session_lease *ret_lease);
MUST_CHECK int session_set_lease(struct session *session, const struct session_lease *lease);
/* When it was last used, by clock_monotonic_coarse_ns(). */
int64_t session_used_ns(const struct session *session);

/* Bytes of storage that its overlay uses, and how many of its files are open. */
uint64_t session_bytes(const struct session *session);
unsigned session_open_files(const struct session *session);

#endif
