/*
 * Resolves a KEY or NAME that a user types. A key, or the beginning of one, is that template. If
 * the mintfs.conf in force has a section NAME, the name means the template that this section builds
 * now from its inputs, so that it is never stale, and never another checkout's. Otherwise it means
 * the last template built under that name, and a message tells the user so.
 */
#ifndef MINTFS_STORE_NAMED_H
#define MINTFS_STORE_NAMED_H

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

/* 1: the mintfs.conf in force has a section of that name; 0: it has none. Errors are logged. */
MUST_CHECK int named_section(const char *text, struct build_spec **ret_spec);

/*
 * The template's key; nothing is built. Errors are logged: those of template_resolve() and
 * key_compute(), and -ENOENT if the section's template is not in the store.
 */
MUST_CHECK int named_resolve(const struct store *store, const char *text,
                             char ret_key[SHA256_HEX_LENGTH + 1]);

/* The same, but the template of a section need not be in the store. */
MUST_CHECK int named_key(const struct store *store, const char *text,
                         char ret_key[SHA256_HEX_LENGTH + 1]);

#endif
