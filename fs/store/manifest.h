/*
 * A template's manifest: templates/KEY/manifest.json, self-describing, written once.
 *
 * It is input like any other: a damaged, truncated or later one is reported with its path.
 * The layout of the JSON stands at the top of manifest.c.
 */
#ifndef MINTFS_STORE_MANIFEST_H
#define MINTFS_STORE_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"

/*
 * Of a template's directories in the store, whatever the builder's mode was; files are 0444. The
 * owner may write to them, so that rm -rf, git clean and CI runners can remove a store.
 */
enum { TEMPLATE_DIRECTORY_MODE = 0755 };

enum entry_type { ENTRY_FILE, ENTRY_DIRECTORY, ENTRY_SYMLINK };

/* One file, directory or symbolic link of a template. */
struct manifest_entry {
    char *path; /* relative to files/, no "." or "..", at most PATH_MAX - 1 bytes */
    enum entry_type type;
    mode_t mode; /* permission bits that the builder left; a session adds u+w */
    uint64_t size_bytes;
    uint8_t digest[SHA256_SIZE_BYTES]; /* files alone */
    char *target;                      /* symbolic links alone */
    bool is_sqlite;
    bool starts_in_wal; /* the builder left WAL mode: a session sees header bytes 18 and 19 as 2 */
};

struct manifest_input {
    char *path;
    uint8_t digest[SHA256_SIZE_BYTES];
};

struct manifest {
    char key[SHA256_HEX_LENGTH + 1];
    char *name;            /* the label at build time, or NULL */
    char *file;            /* what --file said: the database that people mean */
    int64_t created_ns;    /* CLOCK_REALTIME when it was published; whatever a wrong clock said */
    int64_t build_time_ns; /* how long the builder ran: what a hit saves */
    char **builder;        /* arguments as typed, NULL-terminated */
    char **arguments;      /* the same as they count in the key, or what --as said instead */
    char **environment; /* declared variables, "NAME=value" or "NAME" if unset; NULL-terminated */
    char *salt;         /* or NULL */
    struct manifest_input *inputs;
    size_t input_count;
    char **warnings; /* what sealing let pass, NULL-terminated */
    /* Sorted by path as bytes, so a directory stands before what is in it. */
    struct manifest_entry *entries;
    size_t entry_count;
};

/*
 * Reads and checks templates/KEY/manifest.json below the open directory of KEY. `shown_path` is
 * the template's path for messages. -EBADMSG: damaged or lying; -EPROTONOSUPPORT: of a later
 * version (both said); -ENOENT: none (not said).
 */
MUST_CHECK int manifest_read(int template_fd, const char *shown_path,
                             struct manifest **ret_manifest);

/* Writes manifest.json into the open directory, and syncs it. -E2BIG, logged: more files than a
 * template may have. */
MUST_CHECK int manifest_write(int template_fd, const struct manifest *manifest);

/* The entry of that path by binary search, or NULL. */
const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path);

/* Bytes of all files together. */
uint64_t manifest_size_bytes(const struct manifest *manifest);

/*
 * Whether a relative path names something below its root, whatever lies there: no leading slash,
 * no empty, "." or ".." part, no part over NAME_MAX bytes, less than PATH_MAX bytes in all.
 */
bool manifest_path_is_valid(const char *path);

/*
 * Whether a symbolic link that lies at that path and points to `target` stays inside the template,
 * as far as the text can tell.
 */
bool manifest_link_is_inside(const char *path, const char *target);

void manifest_free(struct manifest *manifest);
void manifest_freep(struct manifest **manifest);
#define AUTO_MANIFEST CLEANUP(manifest_freep)

#endif
