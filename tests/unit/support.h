/*
 * Helpers of the unit tests: a directory for each test, checks that print the seed that failed,
 * random numbers, captured stderr, children, and a store with templates without a builder.
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

/* ---- checks: usable in any thread, while stderr is captured, and with NDEBUG ---- */

void support_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4)
    __attribute__((noreturn));
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            support_fail(__FILE__, __LINE__, "%s", #condition);                                    \
    } while (0)
/* Compares two integers, and prints both on failure. */
#define CHECK_EQ(left, right)                                                                      \
    do {                                                                                           \
        long long check_left = (long long)(left);                                                  \
        long long check_right = (long long)(right);                                                \
        if (check_left != check_right)                                                             \
            support_fail(__FILE__, __LINE__, "%s is %lld, not %lld (%s)", #left, check_left,       \
                         check_right, #right);                                                     \
    } while (0)

/* Sets the text at the start of this thread's failure messages, such as the seed. */
void support_context(const char *format, ...) PRINTF_LIKE(1, 2);

/* ---- random numbers: a seed gives the same numbers on every machine ---- */

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
/* From 0 to limit - 1. */
uint64_t rng_below(struct rng *rng, uint64_t limit);
bool rng_chance(struct rng *rng, unsigned percent);
void rng_fill(struct rng *rng, void *buffer, size_t size);

/*
 * Runs a random test for the seeds 1 to `count`, or to $MINTFS_TEST_SEEDS, or for
 * $MINTFS_TEST_SEED alone. Failed checks print the seed.
 */
void support_each_seed(unsigned count, void (*run)(struct rng *rng, void *context), void *context);

/* ---- a directory, which may have a store in it ---- */

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
/* The number of open descriptors of this process. */
unsigned support_open_fds(void);

/* Between the two calls stderr is captured. The second returns its text, which the caller frees. */
void stderr_capture(void);
char *stderr_captured(void);

/* ---- children ---- */

enum { SKIPPED = 77 };
/* Calls run() in a child, which a failed check aborts. Returns the exit status, or 128 + signal. */
int support_in_child(void (*run)(void *context), void *context);
/* For a child: gives it a private mount namespace. False where that is not permitted. */
bool support_own_mounts(void);
/* Skips the test, with the reason, if the child's status is SKIPPED; else the status must be 0. */
void support_skip_or_check(int status, const char *reason);

/* ---- templates ---- */

struct sample {
    const char *path;
    enum entry_type type;
    mode_t mode;
    const void *data; /* of a file; NULL: `size` bytes of sample_fill() */
    size_t size;
    const char *target; /* of a symbolic link */
    bool wal;
};
/* Opens the place's store and publishes a template of these entries under a key of its own. */
void place_template(struct place *place, const struct sample *samples, size_t count,
                    char ret_key[SHA256_HEX_LENGTH + 1]);
/* Replaces the template of this key. */
void place_template_anew(const struct place *place, const struct sample *samples, size_t count,
                         const char *key);
/* The content of a sample without data: bytes that depend on its path. */
void sample_fill(const char *path, void *buffer, size_t size);

/* ---- sessions ---- */

struct scratch *scratch_of(struct place *place);
/* Creates or finds a session of the template. The caller gets a reference to its root. */
struct node *session_made(struct scratch *scratch, const char *key, const char *id);
struct node *session_found(struct scratch *scratch, const char *key, const char *id);
/* A reference to the node at a path with slashes; NULL and *ret_error if there is none. */
struct node *node_at(struct node *root, const char *path, int *ret_error);
/* The same; the node must exist. */
struct node *node_there(struct node *root, const char *path);
/* Create a regular file of mode 0644 and a directory; the caller gets a reference. */
struct node *file_made(struct node *directory, const char *name);
struct node *directory_made(struct node *directory, const char *name);
/* Checks the content of the whole file. */
void file_check(struct node *node, const void *bytes, size_t size);
int file_truncate(struct node *node, uint64_t size);

#endif
