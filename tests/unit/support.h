/*
 * What the unit tests of fs/base and fs/overlay share: a directory of their own, checks that say
 * which seed failed, random numbers, and a store with templates that no builder made.
 */
#ifndef MINTFS_TESTS_SUPPORT_H
#define MINTFS_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/overlay/attributes.h"
#include "fs/overlay/dirops.h"
#include "fs/overlay/fallocate.h"
#include "fs/overlay/file_io.h"
#include "fs/overlay/node.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_use.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

/* ---- checks, usable from several threads and with stderr caught; they survive NDEBUG ---- */

void support_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4)
    __attribute__((noreturn));
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            support_fail(__FILE__, __LINE__, "%s", #condition);                                    \
    } while (0)
/* Two integers, told on failure. */
#define CHECK_EQ(left, right)                                                                      \
    do {                                                                                           \
        long long check_left = (long long)(left);                                                  \
        long long check_right = (long long)(right);                                                \
        if (check_left != check_right)                                                             \
            support_fail(__FILE__, __LINE__, "%s is %lld, not %lld (%s)", #left, check_left,       \
                         check_right, #right);                                                     \
    } while (0)

/* What the message of a failed check begins with, such as the seed; one a thread. */
void support_context(const char *format, ...) PRINTF_LIKE(1, 2);

/* ---- random numbers, the same for a seed everywhere ---- */

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
/* From 0 to limit - 1. */
uint64_t rng_below(struct rng *rng, uint64_t limit);
bool rng_chance(struct rng *rng, unsigned percent);
void rng_fill(struct rng *rng, void *buffer, size_t size);

/*
 * Runs a random test for seeds 1, 2, ...: so many, or $MINTFS_TEST_SEEDS; or for $MINTFS_TEST_SEED
 * alone. The seed stands in the context of failed checks.
 */
void support_each_seed(unsigned count, void (*run)(struct rng *rng, void *context), void *context);

/* ---- a directory, with a store in it ---- */

struct place {
    char path[128];
    int fd;
    struct store *store; /* of place_open_store() */
};
/* For cmocka: *state is a struct place. The teardown fails if a descriptor is left open. */
int place_setup(void **state);
int place_teardown(void **state);
#define TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

void place_write(const struct place *place, const char *name, const void *data, size_t size);
/* Descriptors that this process has open. */
unsigned support_open_fds(void);

/* Between the two calls stderr is captured. The second returns its text, which the caller frees. */
void stderr_capture(void);
char *stderr_captured(void);

/* ---- children ---- */

enum { SKIPPED = 77 };
/* Runs it in a child, where whatever fails aborts; returns the exit status, 128 + a signal's. */
int support_in_child(void (*run)(void *context), void *context);
/* For a child: mounts that nobody else sees. False where neither root nor a name space helps. */
bool support_own_mounts(void);
/* A child that says SKIPPED skips the test, with the reason. */
void support_skip_or_check(int status, const char *reason);

/* ---- templates ---- */

struct sample {
    const char *path;
    enum entry_type type;
    mode_t mode;
    const void *data; /* of a file; NULL with a size: bytes made from the path */
    size_t size;
    const char *target; /* of a symbolic link */
    bool wal;
};
/* Opens the place's store and publishes a template of these entries under a key of its own. */
void place_template(struct place *place, const struct sample *samples, size_t count,
                    char ret_key[SHA256_HEX_LENGTH + 1]);
/* The same under a key that a template has, which goes. */
void place_template_anew(const struct place *place, const struct sample *samples, size_t count,
                         const char *key);
/* The bytes of a sample without data. */
void sample_fill(const char *path, void *buffer, size_t size);

/* ---- sessions ---- */

struct scratch *scratch_of(struct place *place);
/* A session of that template, made or found; its root is referenced. */
struct node *session_made(struct scratch *scratch, const char *key, const char *id);
struct node *session_found(struct scratch *scratch, const char *key, const char *id);
/* The node at a path with slashes, referenced; NULL and *ret_error where there is none. */
struct node *node_at(struct node *root, const char *path, int *ret_error);
/* The same, and it must be there. */
struct node *node_there(struct node *root, const char *path);
/* A new regular file of mode 0644, referenced. */
struct node *file_made(struct node *directory, const char *name);
struct node *directory_made(struct node *directory, const char *name);
/* Reads the file whole and compares. */
void file_check(struct node *node, const void *bytes, size_t size);
int file_truncate(struct node *node, uint64_t size);

#endif
