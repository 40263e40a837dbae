/*
 * The file templates/KEY/manifest.json, format 1. Members that are not marked "or none" are always
 * present.
 *
 *   {
 *     "format": "mintfs-template", "version": 1,
 *     "key": "64 hex digits",
 *     "name": TEXT or none, "file": TEXT, "salt": TEXT or none,
 *     "created_ns": N, "build_time_ns": N,
 *     "builder": [TEXT...], "arguments": [TEXT...], "environment": [TEXT...],
 *     "inputs": [{"path": TEXT, "sha256": HEX}...],
 *     "warnings": [TEXT...],
 *     "entries": [
 *       {"path": TEXT, "type": "file", "mode": "0644", "size_bytes": N, "sha256": HEX,
 *        "sqlite": true or none, "wal": true or none},
 *       {"path": TEXT, "type": "directory", "mode": "0755"},
 *       {"path": TEXT, "type": "symlink", "mode": "0777", "target": TEXT}...]
 *   }
 *
 * TEXT is a JSON string, or {"hex": "..."} for bytes that are not UTF-8, as file names may be.
 * Entries are sorted by path, and the directories above an entry are entries as well. Members that
 * this version does not know are ignored; a change that they must not miss takes another "version".
 */
#ifndef MINTFS_STORE_MANIFEST_FILE_H
#define MINTFS_STORE_MANIFEST_FILE_H

#include "fs/base/cleanup.h"
#include "fs/store/manifest.h"

/*
 * Reads and checks manifest.json below the open directory of a template; `shown_path` is that
 * directory's path, for messages. -EBADMSG: damaged or hostile; -EPROTONOSUPPORT: a later version
 * (both logged); -ENOENT: missing (not logged).
 */
MUST_CHECK int manifest_read(int template_fd, const char *shown_path,
                             struct manifest **ret_manifest);

/* Writes manifest.json into the open directory, and syncs it. -E2BIG, logged: more files than a
 * template may have. */
MUST_CHECK int manifest_write(int template_fd, const struct manifest *manifest);

#endif
