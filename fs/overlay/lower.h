/*
 * A template as sessions stand on it: its tree from the manifest, and its files, opened once for
 * all sessions.
 *
 * One object a template and scratch, counted by references. Nothing in it changes but the cached
 * descriptors, so all but those is read without a lock.
 */
#ifndef MINTFS_OVERLAY_LOWER_H
#define MINTFS_OVERLAY_LOWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/overlay/prefetch.h"
#include "fs/store/template.h"

/* The directory above everything in files/; else an index into the manifest's entries. */
#define LOWER_ROOT ((uint32_t)0xffffffff)
#define LOWER_NONE ((uint32_t)0xfffffffe)

struct lower;

/* Errors are those of template_open_unverified(). The store is borrowed. */
MUST_CHECK int lower_open(const struct store *store, const char *key, struct lower **ret_lower);
/*
 * Whether the template is known to be whole, 0 or 1: before that its names can be listed, but no
 * session stands on it, and nobody may acquire its files. Asks the catalog until it is.
 */
MUST_CHECK int lower_is_verified(struct lower *lower);
/*
 * Compares it with its manifest, unless it is verified. -EBADMSG, with the file said; -ECANCELED soon
 * after *stop is set, which may be NULL.
 */
MUST_CHECK int lower_verify(struct lower *lower, const atomic_bool *stop);
struct lower *lower_ref(struct lower *lower);
void lower_unref(struct lower *lower);
unsigned lower_refs(const struct lower *lower);

/*
 * Whether the template that was opened is still the one in the store: false once it was evicted, or
 * evicted and built anew. One that a session stands on stays current.
 */
bool lower_is_current(const struct lower *lower);

/*
 * One session more stands on it: the lock locks/use-KEY, shared, then keeps eviction away.
 * -ENOENT when the template was evicted before; -EAGAIN when it is not verified.
 */
MUST_CHECK int lower_hold(struct lower *lower);
/* One session less; with the last the lock is free, its file kept: the next is likely to be near. */
void lower_release(struct lower *lower);
/* Notes the use in the catalog and takes the lock's file away, if no session stands on it. */
void lower_rest(struct lower *lower);

const char *lower_key(const struct lower *lower);
/*
 * Over all of the template that sessions build on: the paths, in their order, and what is there,
 * but for modes. A template that was built anew under its key, by a builder that does not make the
 * same twice, has another.
 */
const uint8_t *lower_digest(const struct lower *lower);
const struct manifest *lower_manifest(const struct lower *lower);
/* The entry; not for LOWER_ROOT. */
const struct manifest_entry *lower_entry(const struct lower *lower, uint32_t entry);
/* S_IFREG, S_IFDIR or S_IFLNK. */
mode_t lower_entry_type(const struct lower *lower, uint32_t entry);
/* The last component of its path. */
const char *lower_name(const struct lower *lower, uint32_t entry);

/*
 * A number for each entry and the root, unique over all templates that were ever opened; for inode
 * numbers.
 */
uint64_t lower_number(const struct lower *lower, uint32_t entry);

/* The directory that it lies in. */
uint32_t lower_parent(const struct lower *lower, uint32_t entry);

/* The child of that name, or LOWER_NONE. */
uint32_t lower_lookup(const struct lower *lower, uint32_t directory, const char *name);
/* The position-th child, from 0, in order of name; LOWER_NONE behind the last. */
uint32_t lower_child(const struct lower *lower, uint32_t directory, uint32_t position);
/* Which position the entry has in its directory. */
uint32_t lower_position(const struct lower *lower, uint32_t entry);
uint32_t lower_child_count(const struct lower *lower, uint32_t directory);
/* How many of the children are directories: for link counts. */
uint32_t lower_directory_count(const struct lower *lower, uint32_t directory);

/* A descriptor of a regular file, shared with others, valid until the release. */
MUST_CHECK int lower_file_acquire(struct lower *lower, uint32_t entry, int *ret_fd);
void lower_file_release(struct lower *lower, uint32_t entry);
/* What sessions read of the file, while it is acquired; NULL without memory. */
struct prefetch *lower_file_prefetch(const struct lower *lower, uint32_t entry);

#endif
