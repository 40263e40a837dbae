/*
 * The templates and sessions of a store as JSON, for `ls`, `show`, `stats` and `clean`.
 *
 * A template as JSON: {"key", "names": [], "label", "file", "size_bytes", "file_count",
 * "created_ns", "builder", "build_time_ns", "last_used_ns", "hits", "saved_ns", "pinned",
 * "verified", "sessions", "shared_bytes", "own_bytes"}. `label` is the name at its build,
 * `sessions` their number, `shared_bytes` what they read of it without a copy, and `own_bytes` what
 * they store themselves. Durations are in nanoseconds, and so are times, since 1970.
 *
 * A session: {"id", "key", "backend": "fuse"|"copy", "state": "live"|"at rest"|"copy", "path",
 * "shared_bytes", "own_bytes", "open_files"}. A session at rest is stored in a scratch without a
 * daemon: its path and numbers are null until the next mount.
 */
#ifndef MINTFS_CLIENT_LISTING_H
#define MINTFS_CLIENT_LISTING_H

#include <jansson.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

struct template_listing {
    json_t *templates; /* the last used first */
    json_t *sessions;
};

/* Errors are logged. Without a store (NULL) the listing is empty. */
MUST_CHECK int template_listing_read(const struct store *store,
                                     struct template_listing *ret_listing);
void template_listing_fini(struct template_listing *listing);
#define AUTO_LISTING CLEANUP(template_listing_fini)

/* The template of that key, borrowed, or NULL. */
const json_t *template_listing_find(const struct template_listing *listing, const char *key);

/* Bytes on disk of a file or a tree. */
uint64_t listing_disk_bytes(int dirfd, const char *path);

#endif
