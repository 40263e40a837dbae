/*
 * The manifest of a finished build: what its key was made from, and which file is its database.
 */
#ifndef MINTFS_STORE_BUILD_MANIFEST_H
#define MINTFS_STORE_BUILD_MANIFEST_H

#include "fs/base/cleanup.h"
#include "fs/store/build_spec.h"
#include "fs/store/key.h"
#include "fs/store/manifest.h"

enum build_file { BUILD_FILE_OPTIONAL, BUILD_FILE_REQUIRED };

/*
 * Checks that the spec's file is among the sealed entries. If it is required and missing: -ENODATA,
 * logged with `files_path`, the directory that the builder filled. Warns of an empty database.
 */
MUST_CHECK int build_manifest_check_file(const struct manifest *manifest,
                                         const struct build_spec *spec, enum build_file presence,
                                         const char *files_path);

/* Fills all members except the entries, the warnings and the times. -ENOMEM is not logged. */
MUST_CHECK int build_manifest_describe(const struct build_spec *spec, const struct key *key,
                                       struct manifest *manifest);

#endif
