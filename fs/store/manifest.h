/*
 * A template's manifest: its files, and what its key was made from. Stored in
 * templates/KEY/manifest.json (fs/store/manifest_file.h), written once.
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
 * The mode of a template's directories in the store, whatever mode the builder gave them; files are
 * 0444. The owner may write to directories, so that rm -rf, git clean and CI runners can remove a
 * store.
 */
enum { TEMPLATE_DIRECTORY_MODE = 0755 };

enum entry_type { ENTRY_FILE, ENTRY_DIRECTORY, ENTRY_SYMLINK };

/* One file, directory or symbolic link of a template. */
struct manifest_entry {
    char *path; /* relative to files/, no "." or "..", at most PATH_MAX - 1 bytes */
    enum entry_type type;
    mode_t mode; /* permission bits that the builder set; a session adds u+w */
    uint64_t size_bytes;
    uint8_t digest[SHA256_SIZE_BYTES]; /* only for files */
    char *target;                      /* only for symbolic links */
    bool is_sqlite;
    bool starts_in_wal; /* left in WAL mode: a session sees header bytes 18 and 19 as 2 */
};

struct manifest_input {
    char *path;
    uint8_t digest[SHA256_SIZE_BYTES];
};

struct manifest {
    char key[SHA256_HEX_LENGTH + 1];
    char *name;            /* when it was built, or NULL */
    char *file;            /* the template's database: from --file, or found by the build */
    int64_t created_ns;    /* CLOCK_REALTIME when it was published; the clock may have been wrong */
    int64_t build_time_ns; /* how long the builder ran: the time that a hit saves */
    char **builder;        /* arguments as typed, NULL-terminated */
    char **arguments;      /* as they count in the key; or the text of --as */
    char **environment; /* declared variables, "NAME=value" or "NAME" if unset; NULL-terminated */
    char *salt;         /* or NULL */
    struct manifest_input *inputs;
    size_t input_count;
    char **warnings; /* of sealing, NULL-terminated */
    /* Sorted by path as bytes, so a directory is before its contents. */
    struct manifest_entry *entries;
    size_t entry_count;
};

/* The entry with that path, or NULL. */
const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path);

/* Bytes of all files together. */
uint64_t manifest_size_bytes(const struct manifest *manifest);

/*
 * Whether a path is relative and stays below its root by its text alone: no leading slash, no
 * empty, "." or ".." part, no part over NAME_MAX bytes, less than PATH_MAX bytes in all.
 */
bool manifest_path_is_valid(const char *path);

/*
 * Whether a symbolic link at `path` to `target` stays inside the template, by its text alone.
 * fs/store/links.h follows links.
 */
bool manifest_link_is_inside(const char *path, const char *target);

void manifest_free(struct manifest *manifest);
void manifest_freep(struct manifest **manifest);
#define AUTO_MANIFEST CLEANUP(manifest_freep)

#endif
