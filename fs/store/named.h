/*
 * What a KEY or NAME that somebody types means. A key, or the beginning of one, is that template. A
 * name means what the section of that name builds now, its inputs checked, where the mintfs.conf in
 * force has one: so it is never stale, and never another checkout's. Elsewhere it means the last
 * template built under it, which a message says.
 */
#ifndef MINTFS_STORE_NAMED_H
#define MINTFS_STORE_NAMED_H

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/build_spec.h"
#include "fs/store/store.h"

/* 1: a section of the mintfs.conf in force describes it, 0: none does. Errors are logged. */
MUST_CHECK int named_section(const char *text, struct build_spec **ret_spec);

/*
 * The template's key; nothing is built. Errors are logged: those of template_resolve() and
 * key_compute(), and -ENOENT where the section's template is not in the store.
 */
MUST_CHECK int named_resolve(const struct store *store, const char *text,
                             char ret_key[SHA256_HEX_LENGTH + 1]);

/* The same without a look at the store where a section says what the name means: of a template that
 * is not there, too. */
MUST_CHECK int named_key(const struct store *store, const char *text,
                         char ret_key[SHA256_HEX_LENGTH + 1]);

#endif
