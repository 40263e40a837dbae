/*
 * What is in a store, for people and for --json: templates with their use, sessions with their
 * bytes.
 *
 * A template as JSON: {"key", "names": [], "label", "file", "size_bytes", "file_count",
 * "created_ns", "builder", "build_time_ns", "last_used_ns", "hits", "saved_ns", "pinned",
 * "verified", "sessions", "shared_bytes", "own_bytes"}. `label` is the name at its build, `sessions`
 * how many there are, `shared_bytes` what they see of it without a copy, and `own_bytes` what they
 * take besides. Times are in nanoseconds, dates since 1970.
 *
 * A session: {"id", "key", "backend": "fuse"|"copy", "state": "live"|"at rest"|"copy", "path",
 * "shared_bytes", "own_bytes", "open_files"}. One at rest lies in a scratch without a daemon: its
 * path and numbers are null until the next mount.
 */
#ifndef MINTFS_CLIENT_LISTING_H
#define MINTFS_CLIENT_LISTING_H

#include <jansson.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/store/store.h"

struct template_listing {
    json_t *templates; /* the one used last first */
    json_t *sessions;
};

/* Errors are said. Without a store (NULL) there is nothing in it. */
MUST_CHECK int template_listing_read(const struct store *store,
                                     struct template_listing *ret_inventory);
void template_listing_fini(struct template_listing *inventory);
#define AUTO_INVENTORY CLEANUP(template_listing_fini)

/* The template of that key, borrowed, or NULL. */
const json_t *template_listing_find(const struct template_listing *inventory, const char *key);

/* Bytes on disk of a file or a tree. */
uint64_t template_listing_disk_bytes(int dirfd, const char *path);

#endif
