/*
 * Where a template's symbolic links lead, through other links.
 *
 * The text of one link is not enough: with `here -> .`, the link `out -> here/../x` leads out of
 * the tree. The manifest lists every directory and link, so the file system is not needed.
 */
#ifndef MINTFS_STORE_LINKS_H
#define MINTFS_STORE_LINKS_H

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * The first link that leads out of the template, or that is too long to follow; NULL: there is
 * none. A link that leads nowhere stays inside.
 */
const struct manifest_entry *links_find_escape(const struct manifest *manifest);

/* -EBADMSG, logged with the template's path, if a link leads out of the template. */
MUST_CHECK int links_check(const struct manifest *manifest, const char *shown_path);

/* The entry at that path after all links in it are followed; NULL: there is none. */
const struct manifest_entry *links_resolve(const struct manifest *manifest, const char *path);

#endif
