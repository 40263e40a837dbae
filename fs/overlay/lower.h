/*
 * A template as the lower side of sessions: its tree, from the manifest, and its files, opened once
 * for all sessions.
 *
 * There is one object per template and scratch, with a reference count. Safe from several threads.
 * The tree never changes and is read without a lock. The count of sessions has a lock, which is
 * taken after the scratch's and the cache's (lower_cache.h) and before the catalog's; the
 * descriptors have another one, which is innermost.
 */
#ifndef MINTFS_OVERLAY_LOWER_H
#define MINTFS_OVERLAY_LOWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/prefetch.h"
#include "fs/store/template.h"

/* An entry is an index into the manifest's entries, or LOWER_ROOT: the directory files/ itself. */
#define LOWER_ROOT ((uint32_t)0xffffffff)
#define LOWER_NONE ((uint32_t)0xfffffffe)

struct lower;

/* Errors are those of template_open_unverified(). The store is borrowed. */
MUST_CHECK int lower_open(const struct store *store, const char *key, struct lower **ret_lower);
/*
 * 1 if the template is known to be whole. 0 if it has not been compared with its manifest yet: its
 * names can be listed, but no session can use it and its files must not be acquired. Reads the
 * catalog until the template is verified.
 */
MUST_CHECK int lower_is_verified(struct lower *lower);
/*
 * Compares it with its manifest, unless it is verified. -EBADMSG, with a message that names the
 * file; -ECANCELED soon after *stop is set. `stop` may be NULL.
 */
MUST_CHECK int lower_verify(struct lower *lower, const atomic_bool *stop);
struct lower *lower_ref(struct lower *lower);
void lower_unref(struct lower *lower);
unsigned lower_refs(const struct lower *lower);

/*
 * Whether the template that was opened is still the one in the store: false after it was evicted,
 * even if it was built again since. A template that a session uses stays current.
 */
bool lower_is_current(const struct lower *lower);

/*
 * To be called before a session uses it: the shared lock locks/use-KEY then prevents eviction.
 * -ENOENT if the template was evicted before; -EAGAIN if it is not verified.
 */
MUST_CHECK int lower_hold(struct lower *lower);
/*
 * To be called when a session no longer uses it. After the last one the lock is free, but its file
 * stays open for the next session, which often follows soon.
 */
void lower_release(struct lower *lower);
/* If no session uses it: records the use in the catalog and removes the lock's file. */
void lower_rest(struct lower *lower);

const char *lower_key(const struct lower *lower);
/*
 * The SHA-256 of everything in the template that sessions depend on: the paths, in order, with the
 * type and content of each, but not the mode. If the builder is not reproducible, a template that
 * is built again under its key has another digest.
 */
const uint8_t *lower_digest(const struct lower *lower);
const struct manifest *lower_manifest(const struct lower *lower);
/* The entry; not LOWER_ROOT. */
const struct manifest_entry *lower_entry(const struct lower *lower, uint32_t entry);
/* S_IFREG, S_IFDIR or S_IFLNK. */
mode_t lower_entry_type(const struct lower *lower, uint32_t entry);
/* The last component of its path. */
const char *lower_name(const struct lower *lower, uint32_t entry);

/*
 * A number for each entry and the root, unique among all templates that this process opens; for
 * inode numbers.
 */
uint64_t lower_number(const struct lower *lower, uint32_t entry);

/* The directory that contains it. */
uint32_t lower_parent(const struct lower *lower, uint32_t entry);

/* The child of that name, or LOWER_NONE. */
uint32_t lower_lookup(const struct lower *lower, uint32_t directory, const char *name);
/* The position-th child, from 0, in order of name; LOWER_NONE after the last. */
uint32_t lower_child(const struct lower *lower, uint32_t directory, uint32_t position);
/* The position of the entry in its directory. */
uint32_t lower_position(const struct lower *lower, uint32_t entry);
uint32_t lower_child_count(const struct lower *lower, uint32_t directory);
/* How many of the children are directories, for link counts. */
uint32_t lower_directory_count(const struct lower *lower, uint32_t directory);

/* A descriptor of a regular file, shared with other callers and valid until the release. */
MUST_CHECK int lower_file_acquire(struct lower *lower, uint32_t entry, int *ret_fd);
void lower_file_release(struct lower *lower, uint32_t entry);
/* Which blocks sessions read. Valid while the file is acquired; NULL if memory was short. */
struct prefetch *lower_file_prefetch(const struct lower *lower, uint32_t entry);

#endif
