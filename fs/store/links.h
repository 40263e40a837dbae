/*
 * Where a template's symbolic links lead, by way of each other.
 *
 * The text of one link does not tell: with `here -> .`, the link `out -> here/../x` leads out of the
 * tree. The manifest names every directory and link, so no file system is asked.
 */
#ifndef MINTFS_STORE_LINKS_H
#define MINTFS_STORE_LINKS_H

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * The first link that leads out of the template, or whose way is too long to tell; NULL: none does.
 * One that leads nowhere stays inside. Entries must be sorted.
 */
const struct manifest_entry *links_find_escape(const struct manifest *manifest);

/* Logs the link that leads out, if there is one, with the template's path: -EBADMSG, or 0. */
MUST_CHECK int links_check(const struct manifest *manifest, const char *shown_path);

/* The entry that the path names once all links on its way are followed; NULL: none. */
const struct manifest_entry *links_resolve(const struct manifest *manifest, const char *path);

#endif
