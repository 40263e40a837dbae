/*
 * A session's tree and its model, a real directory. Both start alike and are compared as a whole.
 */
#ifndef MINTFS_TESTS_SUPPORT_TREE_H
#define MINTFS_TESTS_SUPPORT_TREE_H

#include "tests/unit/support.h"

#include "fs/base/hash.h"

enum {
    NAMES = 6,
    PATHS_MAX = 512,
    PATH_BYTES = 512,
    DEPTH_MAX = 10,
    HANDLES = 8,
    FILE_BYTES_MAX = 20000,
    IDENTITY_BYTES = 64,
};

/* The model's files by file handle, and the inode numbers that the session has for them. */
struct identity {
    unsigned char key[IDENTITY_BYTES];
    uint64_t ino;
    UT_hash_handle hh;
};

struct handle {
    struct node *node; /* NULL: not in use */
    int fd;            /* of the same file in the model */
};

struct world {
    struct place *place;
    struct rng *rng;
    char key[SHA256_HEX_LENGTH + 1];
    struct scratch *scratch;
    struct node *root;
    int model;
    bool model_counts_directories;
    char paths[PATHS_MAX][PATH_BYTES];
    unsigned path_count;
    struct handle handles[HANDLES];
    struct identity *identities;
    bool trace;
};

/* Afterwards both sides have the same files. */
void tree_begin(struct world *world, struct place *place, struct rng *rng);
/* Releases all references; the session and the model stay. */
void tree_close(struct world *world);
/* Checks that the session has released every block that it took. */
void tree_end(struct world *world);

/* Checks that both sides have the same file. `fd` is the model's, opened with O_PATH. */
void tree_check_same(struct world *world, struct node *node, int fd);
/* Compares both trees, notes their paths, and checks the open handles. */
void tree_check(struct world *world);
/* Adds a path that later calls use. */
void tree_note(struct world *world, const char *path);

void tree_close_handle(struct handle *handle);

#endif
